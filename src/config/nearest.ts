/** Guesses which known word was meant. */

/** The known word nearest to `word`, or null when none is near enough to be meant. */
export function nearest(word: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean 'x'?`, or the list of what is known. */
export function didYouMean(word: string, known: readonly string[]): string {
  const guess = nearest(word, known);
  if (guess !== null) return `did you mean '${guess}'?`;
  return known.length === 0 ? 'none is known here' : `known here: ${known.join(', ')}`;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  const cell = (i: number, j: number): number => table[i * width + j] ?? 0;
  for (let i = 0; i <= a.length; i++) {
    for (let j = 0; j <= b.length; j++) {
      let least = i === 0 ? j : j === 0 ? i : Math.min(cell(i - 1, j), cell(i, j - 1)) + 1;
      if (i > 0 && j > 0) least = Math.min(least, cell(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, cell(i - 2, j - 2) + 1);
      }
      table[i * width + j] = least;
    }
  }
  return cell(a.length, b.length);
}
