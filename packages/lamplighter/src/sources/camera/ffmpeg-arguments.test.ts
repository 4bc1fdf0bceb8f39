import { describe, expect, it } from 'vitest';
import { parseCameraUrl } from './camera-url.js';
import { type ReadingOptions, ffmpegArguments } from './ffmpeg-arguments.js';

function argumentsFor(url: string, options: Partial<ReadingOptions> = {}) {
  const target = parseCameraUrl(url);
  if (target.kind === 'http' || target.kind === 'browser') throw new TypeError('not for ffmpeg');
  const usual = { stallMs: 3000, transport: 'tcp', keyFramesOnly: false, fullSpeed: false } as const;
  return ffmpegArguments(target, { ...usual, pictureWidth: 160, pictureHeight: 120, ...options });
}

const after = (args: readonly string[], name: string) => args[args.indexOf(name) + 1];

describe('ffmpegArguments', () => {
  it('puts an RTSP url, and so its password, into the script and nowhere else', () => {
    const { args, script } = argumentsFor("rtsp://user:secret@cam:8554/it's", { transport: 'udp' });
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

  it.each([
    ['ffmpeg+https://u:secret@cam/live.m3u8?token=secret', 'pipe,https,tls,tcp'],
    ['ffmpeg+http://u:secret@cam/live.ts', 'pipe,http,tcp'],
    ['ffmpeg+udp://239.0.0.1:5000/secret', 'pipe,udp'],
    ['srt://cam:9000?passphrase=secret', 'pipe,srt'],
    ['rtmp://cam/live/secret', 'pipe,rtmp,tcp'],
  ])('hands %s over in the script, and allows it what it needs', (url, protocols) => {
    const { args, script } = argumentsFor(url);
    expect(args.join(' ')).not.toMatch(/secret|cam/);
    expect(script).toContain(`file '${url.replace('ffmpeg+', '')}'`);
    expect(after(args, '-protocol_whitelist')).toBe(protocols);
  });

  it('names files so that no character of theirs means anything', () => {
    const { args, script } = argumentsFor('/tmp/-i %d a:b|c.mp4');
    expect(args).toContain('file:/tmp/-i %d a:b|c.mp4');
    expect(after(args, '-protocol_whitelist')).toBe('file');
    expect(after(args, '-format_whitelist')).not.toMatch(/hls|concat|sdp|lavfi|image2/);
    expect(script).toBe('');
  });

  it('asks a device for what was written, before it names it', () => {
    const { args } = argumentsFor('/dev/video2?format=yuyv&size=640x480&fps=30');
    expect(args.join(' ')).toContain(
      '-f v4l2 -use_wallclock_as_timestamps 1 -input_format yuyv422 -video_size 640x480 -framerate 30 -i /dev/video2 ',
    );
    expect(argumentsFor('/dev/video0').args.join(' ')).toContain(
      '-f v4l2 -use_wallclock_as_timestamps 1 -i /dev/video0 ',
    );
  });

  it('reads a recording as it plays, or at full speed and so far', () => {
    expect(argumentsFor('/tmp/a.mp4').args).toContain('-re');
    const { args } = argumentsFor('/tmp/a.mp4', { fullSpeed: true, seconds: 7 });
    expect(args).not.toContain('-re');
    expect(args.indexOf('-t')).toBeLessThan(args.indexOf('-i'));
    expect(after(args, '-t')).toBe('7.000');
  });

  it('leaves out frames where it shall, as an option of the input', () => {
    expect(argumentsFor('rtsp://cam/').args).not.toContain('-skip_frame');
    const { args } = argumentsFor('rtsp://cam/', { keyFramesOnly: true });
    expect(after(args, '-skip_frame')).toBe('nokey');
    expect(args.indexOf('-skip_frame')).toBeLessThan(args.indexOf('-i'));
  });

  it('has one input, and writes to its pipes only', () => {
    for (const url of ['rtsp://cam/', '/dev/video0', '/tmp/a.mp4', 'srt://cam:1']) {
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
