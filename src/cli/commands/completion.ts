/** `mobula completion`: what makes shells complete. */
import { command, UsageError } from "../command.ts";
import type { Command, Option } from "../command.ts";
import { groupOf } from "../parse.ts";

const SHELLS = ["bash", "zsh", "fish"];

/** The completion of bash, in a shell whose user may not have switched on any. */
const ZSH = `(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -U +X bashcompinit && bashcompinit`;

export const completion = command({
  name: "completion",
  arguments: "bash|zsh|fish",
  takes: [1, 1],
  about: "Print what makes the shell complete mobula's commands and options.",
  options: {},
  example: 'eval "$(mobula completion bash)"',
  async run({ arguments: [shell], output }) {
    if (!SHELLS.includes(shell!)) throw new UsageError(`completion knows ${SHELLS.join(", ")}, and not ${shell}`);
    const { commands } = await import("./index.ts");
    const script = shell === "fish" ? fish(commands) : shell === "zsh" ? `${ZSH}\n${bash(commands)}` : bash(commands);
    output.result({ shell, script }, () => script);
    return 0;
  },
});

const allOptions = ({ options }: Command): [name: string, option: Option][] =>
  Object.entries({ ...options, json: { about: "Print JSON" }, help: { about: "Print this", short: "h" } });
const firstWords = (commands: readonly Command[]): string[] => [...new Set(commands.map(({ name }) => name.split(" ")[0]!))];
const secondWord = ({ name }: Command): string => name.split(" ")[1]!;
/** Of `bash|zsh|fish`; other arguments are files, or what only its user knows. */
const choicesOf = ({ arguments: expected }: Command): string[] => (expected?.includes("|") === true ? expected.split("|") : []);

function bash(commands: readonly Command[]): string {
  const groups = firstWords(commands).flatMap((word) => {
    const seconds = groupOf(word, commands).map(secondWord).join(" ");
    const second = `if [ "$COMP_CWORD" -eq 2 ]; then others="${seconds}"; else one="$one \${COMP_WORDS[2]}"; fi`;
    return seconds === "" ? [] : [`    ${word}) ${second} ;;`];
  });
  const valued = [...new Set(commands.flatMap(allOptions).flatMap(([name, { value }]) => (value === undefined ? [] : [`--${name}`])))];
  const cases = commands.map((each) => {
    const options = allOptions(each).map(([name]) => `--${name}`);
    const others = each.arguments === undefined ? options : choicesOf(each);
    return `    "${each.name}") options="${options.join(" ")}" others="${others.join(" ")}" ;;`;
  });
  return `_mobula() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" one="\${COMP_WORDS[1]}" options="" others=""
  COMPREPLY=()
  # The value of an option: files, if anything.
  case "$previous" in ${valued.join("|")}) return ;; esac
  if [ "$COMP_CWORD" -eq 1 ]; then one="" others="${firstWords(commands).join(" ")}" options="--help --version"; fi
  case "$one" in
${groups.join("\n")}
  esac
  case "$one" in
${cases.join("\n")}
  esac
  case "$current" in -*) others="$options" ;; esac
  COMPREPLY=($(compgen -W "$others" -- "$current"))
}
complete -o default -F _mobula mobula`;
}

/** Whether the words before the cursor begin with these, and whether they are no more than these. */
const FISH = `function __mobula_line
  set -l words (commandline -opc)
  printf '%s\\n' (string join -- ' ' $words[2..])
end
function __mobula_in
  string match -q -- "$argv *" (__mobula_line)" "
end
function __mobula_after
  test (__mobula_line)"" = "$argv"
end`;

function fish(commands: readonly Command[]): string {
  const lines = [FISH];
  const add = (condition: string, words: string, about?: string): void => {
    const described = about === undefined ? "" : ` -d '${about.replaceAll(/['\\]/g, "\\$&")}'`;
    lines.push(`complete -c mobula -n '${condition}' ${words}${described}`);
  };
  for (const word of firstWords(commands)) {
    const group = groupOf(word, commands);
    const own = commands.find(({ name }) => name === word);
    add("__mobula_after", `-f -a ${word}`, own?.about ?? group.map(secondWord).join(", "));
    for (const each of group) add(`__mobula_after ${word}`, `-f -a ${secondWord(each)}`, each.about);
  }
  for (const each of commands) {
    const inside = `__mobula_in ${each.name}`;
    if (each.arguments === undefined) add(inside, "-f");
    if (choicesOf(each).length > 0) add(inside, `-f -a '${choicesOf(each).join(" ")}'`);
    for (const [name, { value, short, about }] of allOptions(each)) {
      const kind = value === undefined ? "" : /FOLDER|DIR/.test(value) ? " -r" : " -x";
      add(inside, `${short === undefined ? "" : `-s ${short} `}-l ${name}${kind}`, about);
    }
  }
  return lines.join("\n");
}
