import { type Shade, shade } from './gl.js';

/** How long one picture turns into the next. */
const FADE_S = 0.6;

/** Shows small gray pictures large, smoothly and in lamp light, one turning into the next. */
export interface CameraShade {
  show(picture: ImageBitmap): void;
  /** @param seconds - since the frame before */
  draw(seconds: number): void;
  close(): void;
}

/** @returns undefined where there is no WebGL2 */
export function cameraShade(canvas: HTMLCanvasElement): CameraShade | undefined {
  const made = shade(canvas, FRAGMENT);
  return made && driven(made);
}

function driven({ gl, uniform, draw, close }: Shade): CameraShade {
  const textures = [gl.createTexture(), gl.createTexture()] as const;
  textures.forEach((texture, unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, 1, 1, 0, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array(1));
  });
  gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, true);
  gl.uniform1i(uniform('first'), 0);
  gl.uniform1i(uniform('second'), 1);
  const share = uniform('share');
  let newest = 0;
  let faded = 1;
  return {
    show(picture) {
      newest = 1 - newest;
      faded = 0;
      gl.activeTexture(gl.TEXTURE0 + newest);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    },
    draw(seconds) {
      faded = Math.min(1, faded + seconds / FADE_S);
      gl.uniform1f(share, newest === 1 ? faded : 1 - faded);
      draw();
    },
    close,
  };
}

/** Bicubic (B-spline) through four bilinear reads, then the colours of lamp light for the levels of gray. */
const FRAGMENT = `
uniform sampler2D first, second;
uniform float share;

float smoothly(sampler2D picture) {
  vec2 size = vec2(textureSize(picture, 0));
  vec2 place = at * size - 0.5;
  vec2 f = fract(place);
  vec2 base = place - f + 0.5;
  vec2 w0 = (1.0 - f) * (1.0 - f) * (1.0 - f) / 6.0;
  vec2 w1 = (4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0;
  vec2 w3 = f * f * f / 6.0;
  vec2 w2 = 1.0 - w0 - w1 - w3;
  vec2 low = w0 + w1;
  vec2 high = w2 + w3;
  vec2 a = (base - 1.0 + w1 / low) / size;
  vec2 b = (base + 1.0 + w3 / high) / size;
  float lower = texture(picture, a).r * low.x + texture(picture, vec2(b.x, a.y)).r * high.x;
  float upper = texture(picture, vec2(a.x, b.y)).r * low.x + texture(picture, b).r * high.x;
  return lower * low.y + upper * high.y;
}

vec3 lampLight(float level) {
  vec3 c = mix(vec3(0.043, 0.031, 0.035), vec3(0.29, 0.086, 0.071), smoothstep(0.0, 0.28, level));
  c = mix(c, vec3(0.83, 0.30, 0.10), smoothstep(0.2, 0.52, level));
  c = mix(c, vec3(1.0, 0.70, 0.30), smoothstep(0.45, 0.74, level));
  return mix(c, vec3(1.0, 0.965, 0.86), smoothstep(0.7, 1.0, level));
}

void main() {
  float level = mix(smoothly(first), smoothly(second), share);
  colour = vec4(lampLight(level), 1.0);
}`;
