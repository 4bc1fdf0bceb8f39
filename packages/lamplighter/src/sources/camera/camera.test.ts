import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { cameraSource } from './camera.js';
import { MjpegTestServer } from './mjpeg-server.fixture.js';

// What a camera does on good and bad days takes real seconds: e2e/camera-*.test.ts.

describe('cameraSource', () => {
  it('refuses numbers out of range', () => {
    const url = 'http://127.0.0.1/';
    for (const bad of [
      { stallMs: 10 },
      { maxFrameBytes: 2 ** 30 },
      { picturesPerSecond: 0 },
      { stallMs: NaN },
    ]) {
      expect(() => cameraSource({ name: 'x', url, ...bad }, systemEnvironment())).toThrow(RangeError);
    }
  });
});

describeSourceCompliance('camera', async () => {
  const server = new MjpegTestServer();
  await server.listen();
  return {
    source: cameraSource({ name: 'wall', url: server.url }, systemEnvironment()),
    cleanUp: () => server.close(),
  };
});
