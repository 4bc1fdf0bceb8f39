/**
 * For tests: a progressive JPEG of 3,200 × 3,200 gray pixels whose 20,000 scans of a few bytes each say "nothing changed in any of
 * 160,000 blocks": under a megabyte that keeps a decoder busy for minutes.
 */
export function slowJpeg(): Buffer {
  const side = 3200;
  const segment = (marker: number, payload: readonly number[]) => {
    const length = payload.length + 2;
    return Buffer.from([0xff, marker, length >> 8, length & 255, ...payload]);
  };
  const quantization = segment(0xdb, [0, ...Array.from({ length: 64 }, () => 1)]);
  const frame = segment(0xc2, [8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0]);
  // One code of one bit for each table: DC "no difference", AC "end of band run of 2^14 blocks and more".
  const lengths = [1, ...Array.from({ length: 15 }, () => 0)];
  const tables = segment(0xc4, [0x00, ...lengths, 0x00, 0x10, ...lengths, 0xe0]);
  const scan = Buffer.concat([segment(0xda, [1, 1, 0x00, 1, 63, 0x00]), Buffer.alloc(24, 0x00)]);
  const start = [Buffer.from([0xff, 0xd8]), quantization, frame, tables];
  return Buffer.concat([...start, ...Array.from({ length: 20_000 }, () => scan), Buffer.from([0xff, 0xd9])]);
}
