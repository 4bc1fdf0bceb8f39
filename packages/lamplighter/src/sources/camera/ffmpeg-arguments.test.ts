import { describe, expect, it } from 'vitest';
import { parseCameraUrl } from './camera-url.js';
import { ffmpegArguments } from './ffmpeg-arguments.js';

function argumentsFor(url: string, transport: 'tcp' | 'udp' = 'tcp') {
  const target = parseCameraUrl(url);
  if (target.kind === 'http') throw new TypeError('not for ffmpeg');
  return ffmpegArguments(target, { previewPerSecond: 2, stallMs: 3000, transport });
}

describe('ffmpegArguments', () => {
  it('puts an RTSP url, and so its password, into the script and nowhere else', () => {
    const { args, script } = argumentsFor("rtsp://user:secret@cam:8554/it's", 'udp');
    expect(args.join(' ')).not.toMatch(/secret|cam:8554/);
    expect(script.split('\n')).toEqual([
      'ffconcat version 1.0',
      "file 'rtsp://user:secret@cam:8554/it'\\''s'",
      'option rtsp_transport udp',
      'option timeout 4000000',
      'option allowed_media_types video',
      '',
    ]);
  });

  it('names files so that no character of theirs means anything', () => {
    const { args, script } = argumentsFor('/tmp/-i %d a:b|c.mp4');
    expect(args).toContain('file:/tmp/-i %d a:b|c.mp4');
    expect(args[args.indexOf('-protocol_whitelist') + 1]).toBe('file');
    expect(script).toBe('');
  });

  it('has one input, and writes to its pipes only', () => {
    for (const url of ['rtsp://cam/', '/dev/video0', '/tmp/a.mp4']) {
      const { args } = argumentsFor(url);
      expect(args.filter((argument) => argument === '-i').length).toBe(1);
      expect(args.filter((argument) => /^pipe:[134]$/.test(argument))).toEqual([
        'pipe:4',
        'pipe:1',
        'pipe:3',
      ]);
    }
  });
});
