import type { Environment } from './environment.js';

/** Whether something has this name, be it a link that leads nowhere; what may not be looked at counts as absent. */
export async function isThere(
  { fs }: { readonly fs: Pick<Environment['fs'], 'lstat'> },
  path: string,
): Promise<boolean> {
  return await fs.lstat(path).then(
    () => true,
    () => false,
  );
}
