// Counts what somebody tries within a window that slides, and says when it is enough.

/**
 * `limit` tries of one key within `windowMs`. take(key) counts one and gives {allowed, retryAfterS}: a refused try is not
 * counted, and retryAfterS is when the oldest one leaves the window. giveBack(key) takes the newest try back. At most
 * `maxKeys` are remembered; when they are full, those that have nothing in the window go first, then the ones not seen
 * for longest.
 */
export function createThrottle({ limit, windowMs, maxKeys = 10_000, clock = Date.now }) {
  const tries = new Map(); // by key, the one seen last at the end

  function recent(key, now) {
    return (tries.get(key) ?? []).filter((time) => time > now - windowMs);
  }

  function makeRoom(now) {
    if (tries.size < maxKeys) return;
    for (const key of [...tries.keys()]) if (recent(key, now).length === 0) tries.delete(key);
    while (tries.size >= maxKeys) tries.delete(tries.keys().next().value);
  }

  return {
    take(key) {
      const now = clock();
      const times = recent(key, now);
      const allowed = times.length < limit;
      if (allowed) times.push(now);
      tries.delete(key);
      makeRoom(now);
      tries.set(key, times);
      return { allowed, retryAfterS: allowed ? 0 : Math.ceil((times[0] + windowMs - now) / 1000) };
    },
    giveBack(key) {
      tries.get(key)?.pop();
    },
  };
}
