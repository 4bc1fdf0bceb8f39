import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parseCameraUrl, withoutSecrets } from './camera-url.js';

describe('parseCameraUrl', () => {
  it('takes the kinds there are', () => {
    expect(parseCameraUrl('http://cam.example/mjpg?fps=5')).toMatchObject({
      kind: 'http',
      authorization: undefined,
    });
    expect(parseCameraUrl('HTTPS://[::1]:8443/')).toMatchObject({
      kind: 'http',
      shown: 'https://[::1]:8443/',
    });
    expect(parseCameraUrl('rtsp://cam:554/1')).toMatchObject({ kind: 'rtsp', url: 'rtsp://cam:554/1' });
    expect(parseCameraUrl('/dev/video0')).toEqual({
      kind: 'device',
      path: '/dev/video0',
      options: {},
      shown: '/dev/video0',
    });
    expect(parseCameraUrl('/dev/video0?format=mjpeg&fps=5')).toMatchObject({
      path: '/dev/video0',
      options: { inputFormat: 'mjpeg', framesPerSecond: 5 },
    });
    expect(parseCameraUrl('ffmpeg+https://u:p@cam/a.m3u8?key=1')).toEqual({
      kind: 'stream',
      url: 'https://u:p@cam/a.m3u8?key=1',
      protocols: 'https,tls,tcp',
      secrets: ['https://u:p@cam/a.m3u8?key=1', 'key=1', 'u:p'],
      shown: 'https://***@cam/a.m3u8?***',
    });
    expect(parseCameraUrl('rtmp://cam/live/key')).toMatchObject({
      shown: 'rtmp://cam/***',
      secrets: ['rtmp://cam/live/key', '/live/key', 'key'],
    });
    expect(parseCameraUrl('SRT://cam:9000?passphrase=sesame')).toMatchObject({
      kind: 'stream',
      shown: 'srt://cam:9000?***',
    });
    expect(parseCameraUrl('/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0').kind).toBe('device');
    expect(parseCameraUrl('file:///tmp/a%20b.mp4')).toMatchObject({ kind: 'file', path: '/tmp/a b.mp4' });
    expect(parseCameraUrl('./a:b.mp4')).toMatchObject({ kind: 'file', path: `${process.cwd()}/a:b.mp4` });
    expect(parseCameraUrl('Browser:')).toEqual({ kind: 'browser', shown: 'browser:' });
    expect(parseCameraUrl('lamps.mp4')).toMatchObject({ kind: 'file', path: `${process.cwd()}/lamps.mp4` });
  });

  it.each([
    '', '-i', '-f lavfi', 'concat:a|b', 'subfile,,start,0,end,9,,:/etc/passwd', 'concat:/etc/passwd', 'pipe:0', 'data:,x',
    'hls+http://x/', 'crypto:x', 'rtsps://x/', 'udp://@:1', 'http://', 'rtsp:///x', 'http://a b/', 'file://host/x',
    'ffmpeg+file:///etc/passwd', 'ffmpeg+concat://x/', 'ffmpeg+ffmpeg+http://x/', 'constructor://x/', 'ffmpeg+pipe://x', 'ffmpeg+http://',
    '/dev/video0?format=avi', '/dev/video0?size=1x1&list_formats=all', '/dev/sda?format=yuyv', '/dev/video0?/../sda',
    'browser://x', 'browser:x', '/dev/sda', '/dev/../dev/mem', '/dev/video0/../sda', "rtsp://x/a\nfile '/etc/passwd'", 'x\0y', 'a'.repeat(2049), 'a:b.mp4',
  ])('refuses %.40j', (url) => {
    expect(() => parseCameraUrl(url)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
  }); // prettier-ignore

  it('uses credentials and never shows them', () => {
    const http = parseCameraUrl('http://al%40ice:s%3Acret@cam/x?pwd=tellno1');
    expect(http).toMatchObject({ shown: 'http://***@cam/x?***' });
    expect(http.kind === 'http' && http.authorization).toBe(
      `Basic ${Buffer.from('al@ice:s:cret').toString('base64')}`,
    );
    expect(http.kind === 'http' && http.url.href).toBe('http://cam/x?pwd=tellno1');
    expect(parseCameraUrl('rtsp://u:secret@cam/x').shown).toBe('rtsp://***@cam/x');
  });

  it('names no secret in an error', () => {
    for (const url of [
      'http://u:secret@:x/',
      'rtsp://u:secret@',
      'ftp://u:secret@cam/',
      'http://u:sec ret@a b/',
    ]) {
      const refusal = () => {
        try {
          return JSON.stringify(parseCameraUrl(url));
        } catch (error) {
          return inspect(error);
        }
      };
      expect(refusal()).toContain('ERR_CONFIG');
      expect(refusal()).not.toMatch(/sec/);
    }
  });
});

describe('withoutSecrets', () => {
  it('hides every spelling of what the url held', () => {
    const target = parseCameraUrl('rtsp://user:p%40ss%20word@cam/x?token=abc123');
    const secrets = target.kind === 'rtsp' ? target.secrets : [];
    const said = `cannot open '${target.kind === 'rtsp' ? target.url : ''}' p@ss word p%40ss%20word token=abc123 //user:p%40ss@cam`;
    const clean = withoutSecrets(said, secrets);
    for (const secret of ['p@ss', 'p%40ss', 'abc123']) expect(clean).not.toContain(secret);
  });
});
