import { createHash } from 'node:crypto';

const STYLE = `
:root { color-scheme: light dark; --paper: #f6f3ee; --ink: #2a2522; --quiet: #6b625c; --edge: #d9d2c8; }
@media (prefers-color-scheme: dark) { :root { --paper: #100d0f; --ink: #ece6e0; --quiet: #a1968e; --edge: #2c2629; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; grid-template-columns: minmax(0, 60rem); padding: 2rem 1rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1 { margin: 0 0 1rem; font-size: 1.1rem; font-weight: 600; letter-spacing: 0.01em; }
h1 span { margin-left: 0.5em; padding: 0.15em 0.6em; border: 1px solid var(--edge); border-radius: 1em;
  color: var(--quiet); font-size: 0.75em; font-weight: 500; }
img { display: block; width: 100%; height: auto; border-radius: 0.6rem; background: #0c0a0b;
  box-shadow: 0 0 0 1px var(--edge), 0 1rem 3rem rgb(0 0 0 / 25%); }
p { max-width: 44rem; margin: 1.25rem 0 0; color: var(--quiet); }
`;

/** The page allows its own picture and this one style sheet, and nothing else from anywhere. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "img-src 'self'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * The page that shows the stream and says what it is.
 *
 * @param widthPx - the picture's size, so that the page does not jump when it arrives
 */
export function wallPage(widthPx: number, heightPx: number): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lamplighter: virtual wall (simulated)</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Lamplighter: virtual wall <span>simulated</span></h1>
<img src="/stream.mjpg" width="${widthPx}" height="${heightPx}" alt="A live picture of simulated lava lamps">
<p>These lamps are simulated: their wax and the noise in the picture are computed on this machine, so that the whole
chain can be tried without a camera. They add no entropy of their own and earn no credit; for that, point Lamplighter at real lamps.</p>
</main>
</body>
</html>
`;
}
