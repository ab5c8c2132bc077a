/** A module of one's own: its functions cross by reference, the workers import it. */
export function square(x: number): number {
  return x * x;
}
