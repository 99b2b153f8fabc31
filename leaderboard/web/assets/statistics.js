/* Paired tests, with the numbers of promptbench.statistics (paired.py, families.py, estimates.py):
   Student's t over seeds, the exact signed-rank test over datasets, Holm's adjustment. */
"use strict";
const statistics = (() => {
  /* Scores come with 11 significant digits: equal differences may be this far apart. */
  const NOISE = 1e-7;
  const ENOUGH_SEEDS = 3;

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /* Of halves (0.5, 1, 1.5, ...), which is all that is asked for. */
  const logGamma = (x) => {
    let found = x % 1 ? Math.log(Math.PI) / 2 : 0;
    for (let factor = x % 1 || 1; factor < x; factor += 1) found += Math.log(factor);
    return found;
  };

  /* The continued fraction of the incomplete beta function (Lentz). */
  const fraction = (x, a, b) => {
    const kept = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let c = 1;
    let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
    let found = d;
    for (let m = 1; m < 1000; m += 1) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      let step = 1;
      for (const term of [even, odd]) {
        d = 1 / kept(1 + term * d);
        c = kept(1 + term / c);
        step = c * d;
        found *= step;
      }
      if (Math.abs(step - 1) < 1e-15) break;
    }
    return found;
  };

  /* The regularised incomplete beta function I_x(a, b). */
  const beta = (x, a, b) => {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
    return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(1 - x, b, a)) / b;
  };

  /* The two-sided p-value of t with `df` degrees of freedom. */
  const tailOfT = (t, df) => beta(df / (df + t * t), df / 2, 0.5);

  /* The t beyond which 2.5% lie on each side. */
  const quantileOfT = (df) => {
    let [low, high] = [0, 1e3];
    for (let i = 0; i < 100; i += 1) {
      const middle = (low + high) / 2;
      if (tailOfT(middle, df) > 0.05) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };

  /* The standard error of the mean of values. */
  const errorOf = (values) => {
    const center = mean(values);
    const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
    return Math.sqrt(squares / (values.length - 1) / values.length);
  };

  /* The p-value of the paired t-test of seeds' differences about `center`; null where there is none. */
  const tTest = (differences, center) => {
    const n = differences.length;
    if (n < 2 || Math.max(...differences) - Math.min(...differences) <= NOISE) return null;
    return tailOfT(center / errorOf(differences), n - 1);
  };

  /* How far a difference may be off, as `estimate`: the 95% t interval, of two seeds their values. */
  const spread = (differences, center, [lowest, highest], drawn) => {
    const n = differences.length;
    const low = Math.min(...differences);
    const high = Math.max(...differences);
    if (n < 2 || (!drawn && high - low <= NOISE)) return null;
    if (n < ENOUGH_SEEDS) return { kind: "values", ends: [low, high] };
    const half = quantileOfT(n - 1) * errorOf(differences);
    const ends = [Math.max(lowest ?? -Infinity, center - half), Math.min(highest ?? Infinity, center + half)];
    return { kind: center - half < ends[0] || center + half > ends[1] ? "cut" : "interval", half, ends };
  };

  /* Twice the rank of each size: equal sizes share their mean rank. */
  const doubledRanks = (sizes) => {
    const order = sizes.map((_, i) => i).sort((a, b) => sizes[a] - sizes[b]);
    const found = [];
    for (let start = 0, end = 1; end <= order.length; end += 1) {
      if (end < order.length && sizes[order[end]] - sizes[order[end - 1]] <= NOISE) continue;
      for (const index of order.slice(start, end)) found[index] = start + 1 + end;
      start = end;
    }
    return found;
  };

  /* The exact Wilcoxon signed-rank test: its p-value and how many differences are not zero. */
  const signedRankTest = (differences) => {
    const others = differences.filter((difference) => Math.abs(difference) > NOISE);
    if (others.length < 2) return { p: null, n: others.length };
    const ranks = doubledRanks(others.map(Math.abs));
    const observed = ranks.reduce((sum, rank, i) => sum + (others[i] > 0 ? rank : 0), 0);
    let shares = [1];
    for (const rank of ranks) {
      const next = Array(shares.length + rank).fill(0);
      shares.forEach((share, sum) => {
        next[sum] += share / 2;
        next[sum + rank] += share / 2;
      });
      shares = next;
    }
    const total = (part) => part.reduce((sum, share) => sum + share, 0);
    const tail = Math.min(total(shares.slice(0, observed + 1)), total(shares.slice(observed)));
    return { p: Math.min(1, 2 * tail), n: others.length };
  };

  /* Holm's adjusted p-values of one family; null is not in it. */
  const holm = (pValues) => {
    const order = pValues.map((_, i) => i).filter((i) => pValues[i] !== null).sort((a, b) => pValues[a] - pValues[b]);
    const found = pValues.map(() => null);
    let largest = 0;
    order.forEach((index, place) => {
      largest = Math.max(largest, Math.min(1, pValues[index] * (order.length - place)));
      found[index] = largest;
    });
    return found;
  };

  return { ENOUGH_SEEDS, holm, mean, signedRankTest, spread, tTest };
})();
