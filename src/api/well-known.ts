/**
 * What crosses processes by name, whichever copy or bundle of the package it came from: the public API, and the classes whose
 * instances users pass around without seeing them. The runtime registers it; nothing is registered here.
 */
import * as api from "./index.ts";
import { ActorClassObject, RemoteFunctionObject } from "./remote.ts";

export const wellKnown: Readonly<Record<string, unknown>> = { ...api, RemoteFunctionObject, ActorClassObject };
