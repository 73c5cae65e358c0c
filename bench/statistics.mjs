/** Medians of paired values, and whether two runs differ beyond their noise. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What is kept of the values of all rounds. */
export function summary(values) {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    rounds: values.length,
  };
}

export function meets(goal, value) {
  return goal.atLeast !== undefined ? value >= goal.atLeast : value <= goal.atMost;
}

/** Worse beyond noise: the whole range of the new values lies on the bad side of the old median, and 10 % of it. */
export function worse(goal, before, after) {
  return goal.atLeast !== undefined
    ? after.max < before.median && after.median < before.median * 0.9
    : after.min > before.median && after.median > before.median * 1.1;
}
