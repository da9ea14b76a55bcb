import assert from 'node:assert/strict';

export const checks = {
  'the window slides': async ({ load }) => {
    const { createThrottle } = await load('src/throttle.js');
    let now = 5_000_000;
    const throttle = createThrottle({ limit: 3, windowMs: 60_000, clock: () => now });
    for (let i = 0; i < 3; i += 1) {
      assert.ok(throttle.take('somebody').allowed, 'three tries are allowed');
      now += 20_000;
    }
    const after = [1, 2].map(() => throttle.take('somebody').allowed);
    assert.deepEqual(after, [true, false], 'after 60 s one try is out of the window, so one more is allowed, not more');
  },
  'a refused try does not count': async ({ load }) => {
    const { createThrottle } = await load('src/throttle.js');
    let now = 5_000_000;
    const throttle = createThrottle({ limit: 1, windowMs: 60_000, clock: () => now });
    throttle.take('somebody');
    now += 59_000;
    assert.deepEqual(throttle.take('somebody'), { allowed: false, retryAfterS: 1 }, 'a second too early is refused');
    now += 1_000;
    assert.ok(throttle.take('somebody').allowed, 'the time of a refused try was counted');
  },
};
