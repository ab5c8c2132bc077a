/** Words as one line that a POSIX shell takes apart into the same words. */

const PLAIN = /^[\w@%+=:,./-]+$/;

/** A single word is a command line as it is: `mobula submit -- "node a.mjs | sort"`. */
export function commandLine(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : words.map(quoted).join(" ");
}

function quoted(word: string, index: number): string {
  // As the first word `A=B` would be a variable and no command.
  const plain = PLAIN.test(word) && !(index === 0 && word.includes("="));
  return plain ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
