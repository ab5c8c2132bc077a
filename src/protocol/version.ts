/**
 * The version of everything that crosses between machines: the handshake, the messages and what they mean. Two sides of
 * different versions refuse each other; there is no negotiation.
 */
export const PROTOCOL_VERSION = 1;
