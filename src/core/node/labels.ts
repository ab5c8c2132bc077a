/**
 * Matching of label selectors: `{ zone: "a" }`, `"!a"`, `"in(a,b)"`, `"!in(a,b)"`. A label that a node lacks
 * satisfies only the negated forms. It parses leniently: what is none of the lists is a plain value.
 */
type Labels = Readonly<Record<string, string>>;

export function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, condition]) => matchesOne(condition, labels[key]));
}

function matchesOne(condition: string, value: string | undefined): boolean {
  const negated = condition.startsWith("!");
  const positive = (negated ? condition.slice(1) : condition).trim();
  const list = /^in\((.*)\)$/s.exec(positive);
  const options = list ? list[1]!.split(",").map((option) => option.trim()) : [positive];
  return (value !== undefined && options.includes(value)) !== negated;
}
