/**
 * The command that an entry point is started by: a shell that leaves a watcher in the entry point's process group and becomes the entry
 * point itself. The watcher reads a pipe whose other end the supervisor holds: when that ends, however it ended, the pipe does, and the
 * watcher ends the group. So there is no moment at which nobody would.
 */

/** The watcher reads this one; the entry point does not have it. */
export const WATCH_FD = 3;
/** What a group may take to end by itself once its supervisor is gone. */
const LAST_SECONDS = 2;

/** In the command line of a watcher, and of nobody else. */
export const WATCHER = "mobula-watcher";

// The watcher's own shell survives the signal that it sends; `$$` is the leader of the group also in there.
const WATCHED = [
  `: ${WATCHER}; { trap '' TERM INT HUP; read _ <&${WATCH_FD};`,
  `kill -s TERM -- -$$; sleep ${LAST_SECONDS} & wait $!; kill -s KILL -- -$$; }`,
  `</dev/null >/dev/null 2>&1 &`,
  `exec ${WATCH_FD}<&-; exec "$@"`,
].join(" ");

export function watchedCommand(entrypoint: readonly string[], shell: boolean): string[] {
  const words = shell ? ["/bin/sh", "-c", entrypoint.join(" ")] : entrypoint;
  return ["/bin/sh", "-c", WATCHED, "entrypoint", ...words];
}
