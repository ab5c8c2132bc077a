/** `mobula completion`: what makes shells complete. */
import { command, UsageError } from "../command.ts";
import type { Command } from "../command.ts";

const SHELLS = ["bash", "zsh", "fish"];

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
    const script =
      shell === "fish"
        ? fish(commands)
        : shell === "zsh"
          ? `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
          : bash(commands);
    output.result({ shell, script }, () => script);
    return 0;
  },
});

const optionsOf = ({ options }: Command): string => [...Object.keys(options), "json", "help"].map((name) => `--${name}`).join(" ");

function bash(commands: readonly Command[]): string {
  const first = [...new Set(commands.map(({ name }) => name.split(" ")[0]!))].join(" ");
  const cases = commands.map((each) => `    "${each.name}") words="${optionsOf(each)}" ;;`);
  const groups = [...new Set(commands.filter(({ name }) => name.includes(" ")).map(({ name }) => name.split(" ")[0]!))].map((group) => {
    const seconds = commands.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => name.split(" ")[1]!);
    return `    "${group}") words="${seconds.join(" ")}" ;;`;
  });
  return `_mobula() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  local one="\${COMP_WORDS[1]}" two="\${COMP_WORDS[1]} \${COMP_WORDS[2]}"
  if [ "$COMP_CWORD" -eq 1 ]; then words="${first}"; else
  case "$one" in
${[...cases.filter((line) => !/"\S+ \S+"\)/.test(line)), ...groups].join("\n")}
  esac
  if [ "$COMP_CWORD" -gt 2 ]; then case "$two" in
${cases.filter((line) => /"\S+ \S+"\)/.test(line)).join("\n")}
  esac; fi; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _mobula mobula`;
}

function fish(commands: readonly Command[]): string {
  const lines = ["complete -c mobula -f"];
  for (const { name, about, options } of commands) {
    const [first, second] = name.split(" ") as [string, string | undefined];
    const quoted = about.replaceAll("'", "\\'");
    if (second === undefined) lines.push(`complete -c mobula -n __fish_use_subcommand -a ${first} -d '${quoted}'`);
    else lines.push(`complete -c mobula -n '__fish_seen_subcommand_from ${first}' -a ${second} -d '${quoted}'`);
    for (const [option, { about: what }] of Object.entries(options)) {
      lines.push(`complete -c mobula -n '__fish_seen_subcommand_from ${second ?? first}' -l ${option} -d '${what.replaceAll("'", "\\'")}'`);
    }
  }
  return lines.join("\n");
}
