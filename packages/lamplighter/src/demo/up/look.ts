import { get } from 'node:http';
import type { NodeStatus } from '../../wire/status.js';

const MAX_STATUS_BYTES = 1024 * 1024;

/**
 * Asks a node of ours for its status.
 * @param dashboard - where its dashboard is
 * @returns undefined when it does not answer within a second: it may not be up yet
 */
export function look(dashboard: string): Promise<NodeStatus | undefined> {
  return new Promise((resolve) => {
    const request = get(`${dashboard}v1/status`, { timeout: 1_000 }, (response) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      response.on('data', (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes > MAX_STATUS_BYTES) response.destroy();
        else chunks.push(chunk);
      });
      response.on('end', () => {
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')) as NodeStatus);
        } catch {
          resolve(undefined);
        }
      });
      response.on('error', () => resolve(undefined));
      response.on('close', () => resolve(undefined));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}
