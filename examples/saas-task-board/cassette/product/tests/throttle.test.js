import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createThrottle } from '../src/throttle.js';

function make(options = {}) {
  const time = { now: 1_000_000 };
  return { time, throttle: createThrottle({ limit: 3, windowMs: 60_000, clock: () => time.now, ...options }) };
}

const allowed = (throttle, key) => throttle.take(key).allowed;

test('so many tries, and no more', () => {
  const { throttle } = make();
  assert.deepEqual([1, 2, 3, 4].map(() => allowed(throttle, 'a')), [true, true, true, false]);
  assert.ok(allowed(throttle, 'b'), 'another key has tries of its own');
});

test('the window slides: each try leaves it by itself', () => {
  const { throttle, time } = make();
  for (const wait of [0, 20_000, 20_000]) {
    time.now += wait;
    assert.ok(allowed(throttle, 'a'));
  }
  time.now += 10_000; // 50 s after the first
  assert.deepEqual(throttle.take('a'), { allowed: false, retryAfterS: 10 });
  time.now += 10_000; // the first is out
  assert.ok(allowed(throttle, 'a'));
  assert.deepEqual(throttle.take('a'), { allowed: false, retryAfterS: 20 });
});

test('a refused try does not count', () => {
  const { throttle, time } = make({ limit: 1 });
  assert.ok(allowed(throttle, 'a'));
  for (let i = 0; i < 5; i += 1) {
    time.now += 10_000;
    assert.ok(!allowed(throttle, 'a'));
  }
  time.now += 10_000;
  assert.ok(allowed(throttle, 'a'));
});

test('a try that was given back does not count', () => {
  const { throttle } = make({ limit: 1 });
  assert.ok(allowed(throttle, 'a'));
  throttle.giveBack('a');
  throttle.giveBack('never seen');
  assert.ok(allowed(throttle, 'a'));
  assert.ok(!allowed(throttle, 'a'));
});

test('no more keys are remembered than there is room for', () => {
  const { throttle, time } = make({ limit: 1, maxKeys: 2 });
  assert.ok(allowed(throttle, 'a'));
  time.now += 1;
  assert.ok(allowed(throttle, 'b'));
  assert.ok(allowed(throttle, 'c')); // a goes, the one not seen for longest
  assert.ok(!allowed(throttle, 'b'));
  assert.ok(!allowed(throttle, 'c'));
  assert.ok(allowed(throttle, 'a'));
});
