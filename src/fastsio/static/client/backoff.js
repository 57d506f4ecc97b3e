/**
 * How long to wait, in milliseconds, before attempt number `attempt` (from 0) to connect again.
 *
 * @param random a number in [0, 1): it says how far the delay deviates, and by its first decimal in which direction
 */
export function backoff(attempt, { reconnectionDelay, reconnectionDelayMax, randomizationFactor }, random) {
  const delay = reconnectionDelay * 2 ** attempt;
  const deviation = Math.floor(random * randomizationFactor * delay);
  return Math.trunc(Math.min(Math.floor(random * 10) % 2 ? delay + deviation : delay - deviation, reconnectionDelayMax));
}
