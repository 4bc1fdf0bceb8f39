import { describe, expect, it } from 'vitest';
import { parseDeviceOptions } from './device-options.js';

describe('parseDeviceOptions', () => {
  it('takes format, size and rate, in any order and number', () => {
    expect(parseDeviceOptions('')).toEqual({});
    expect(parseDeviceOptions('format=yuyv&size=640x480&fps=30')).toEqual({
      inputFormat: 'yuyv422',
      widthPx: 640,
      heightPx: 480,
      framesPerSecond: 30,
    });
    expect(parseDeviceOptions('fps=7.5&format=MJPEG')).toEqual({
      inputFormat: 'mjpeg',
      framesPerSecond: 7.5,
    });
  });

  it.each([
    'format=avi', 'format=', 'format=constructor', 'format=yuyv422 -i x', 'size=640', 'size=0x480', 'size=9000x9000', 'size=640x480x3',
    'size=-640x480', 'fps=0', 'fps=1000', 'fps=30/1', 'fps=1e3', 'input_format=yuyv', 'toString=1', 'fps=30&fps=25', '=', 'x',
  ])('says what is wrong with %j', (query) => {
    expect(parseDeviceOptions(query)).toMatch(/option of the device/);
  }); // prettier-ignore
});
