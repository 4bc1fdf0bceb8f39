/** For `vi.waitFor` on what happens soon: a loaded machine may take seconds for it, and a test knows no speed. */
export const WITHIN = { timeout: 15_000 };
