/** A picture that one fragment shader draws over a whole canvas. */
export interface Shade {
  readonly gl: WebGL2RenderingContext;
  /** Where a uniform is; null when the shader has no use for it. */
  readonly uniform: (name: string) => WebGLUniformLocation | null;
  /** Draws, at the canvas' size on the screen. */
  readonly draw: () => void;
  readonly close: () => void;
}

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = corner * 2.0;
  gl_Position = vec4(corner * 4.0 - 1.0, 0.0, 1.0);
}`;

/** More is not seen on things that glow. */
const MAX_PIXEL_RATIO = 1.5;

/**
 * @param fragment - GLSL ES 3.00 without its first line; `at` is 0..1 from the lower left, `colour` premultiplied
 * @returns undefined where there is no WebGL2
 */
export function shade(canvas: HTMLCanvasElement, fragment: string): Shade | undefined {
  const gl = canvas.getContext('webgl2', { antialias: false, premultipliedAlpha: true });
  if (gl === null) return undefined;
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [
      gl.FRAGMENT_SHADER,
      `#version 300 es\nprecision highp float;\nin vec2 at;\nout vec4 colour;\n${fragment}`,
    ],
  ] as const) {
    const shader = gl.createShader(type);
    if (shader === null) return undefined;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(program);
  if (gl.getProgramParameter(program, gl.LINK_STATUS) !== true) return undefined;
  gl.useProgram(program);
  return {
    gl,
    uniform: (name) => gl.getUniformLocation(program, name),
    draw() {
      const ratio = Math.min(MAX_PIXEL_RATIO, devicePixelRatio);
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round(canvas.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      gl.viewport(0, 0, width, height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    },
    close() {
      gl.deleteProgram(program);
      gl.getExtension('WEBGL_lose_context')?.loseContext();
    },
  };
}
