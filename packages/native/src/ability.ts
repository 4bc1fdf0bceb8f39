/** Something this machine may or may not be able to do. Missing hardware or software is a value, never a crash. */
export type Ability<T> =
  { readonly supported: true; readonly value: T } | { readonly supported: false; readonly reason: string };

export const able = <T>(value: T): Ability<T> => ({ supported: true, value });
export const unable = (reason: string): Ability<never> => ({ supported: false, reason });
