import { shade } from './gl.js';

/** Most lamps in one picture: the pools of the book. */
const MAX_LAMPS = 32;

/** How the lamps stand and shine. */
export interface Lamps {
  /** 0..1 each. */
  readonly fills: readonly number[];
  /** All places, lit or not. */
  readonly places: number;
  readonly columns: number;
  readonly isDark: boolean;
}

/** Draws pools as lava lamps: wax as high as the pool is full, unlit glass where no pool is in use yet. */
export interface LampsShade {
  /** @param seconds - since the frame before; wax moves on by so much */
  draw(lamps: Lamps, seconds: number): void;
  close(): void;
}

/** @returns undefined where there is no WebGL2 */
export function lampsShade(canvas: HTMLCanvasElement): LampsShade | undefined {
  const made = shade(canvas, FRAGMENT);
  if (made === undefined) return undefined;
  const { gl, uniform, draw, close } = made;
  const at = {
    fills: uniform('fills'),
    grid: uniform('grid'),
    time: uniform('time'),
    dark: uniform('dark'),
    size: uniform('size'),
  };
  const shownFills = new Float32Array(MAX_LAMPS);
  let time = 0;
  return {
    draw({ fills, places, columns, isDark }, seconds) {
      time += seconds;
      for (let i = 0; i < MAX_LAMPS; i++) {
        const target = fills[i] ?? -1;
        const from = shownFills[i] ?? 0;
        // Wax follows within a third of a second, so that a drain is seen to run out. Unlit glass is at once what it is.
        shownFills[i] = target < 0 || from < 0 ? target : from + (target - from) * Math.min(1, seconds * 9);
      }
      gl.uniform1fv(at.fills, shownFills);
      gl.uniform3f(at.grid, columns, Math.ceil(places / columns), places);
      gl.uniform1f(at.time, time);
      gl.uniform1f(at.dark, isDark ? 1 : 0);
      gl.uniform2f(at.size, canvas.clientWidth, canvas.clientHeight);
      draw();
    },
    close,
  };
}

const FRAGMENT = `
uniform float fills[${MAX_LAMPS}];
uniform vec3 grid;
uniform float time, dark;
uniform vec2 size;

float hash(float n) { return fract(sin(n * 91.345) * 47453.5453); }

/* Half the width of the lamp at a height of 0..1: base, glass, cap. */
float halfWidth(float y) {
  float base = mix(0.30, 0.20, smoothstep(0.0, 0.15, y));
  float glass = mix(0.33, 0.17, smoothstep(0.10, 0.95, y));
  float cap = mix(0.165, 0.12, smoothstep(0.90, 1.0, y));
  return y < 0.14 ? base : (y < 0.90 ? glass : cap);
}

void main() {
  vec2 cell = vec2(at.x * grid.x, (1.0 - at.y) * grid.y);
  float index = floor(cell.x) + floor(cell.y) * grid.x;
  if (index >= grid.z) { colour = vec4(0.0); return; }
  float fill = fills[int(index)];
  vec2 p = vec2(fract(cell.x) - 0.5, 1.0 - fract(cell.y));
  float aspect = (size.x / grid.x) / (size.y / grid.y);
  float y = (p.y - 0.17) / 0.81;
  float x = p.x * max(1.0, aspect * 2.4);
  float pixel = 1.2 / size.y * grid.y;
  float inside = halfWidth(y) - abs(x);
  float body = smoothstep(-pixel, pixel, inside) * step(0.0, y) * step(y, 1.0);
  bool isGlass = y > 0.14 && y < 0.90;

  /* What a lit lamp throws on the air around it; little by day. It ends before the next lamp's place begins. */
  float away = max(0.0, abs(x) - mix(0.30, 0.17, clamp(y, 0.0, 1.0)));
  float glow = exp(-away * 9.0) * exp(-6.0 * (y - 0.42) * (y - 0.42)) * smoothstep(0.5, 0.28, abs(p.x));
  glow *= smoothstep(0.0, 0.16, p.y) * smoothstep(1.0, 0.88, p.y);
  float halo = fill < 0.0 ? 0.0 : mix(0.14, 0.34, dark) * (0.4 + 0.6 * fill) * glow;
  vec4 air = vec4(vec3(1.0, 0.52, 0.2) * halo, halo * mix(0.9, 0.3, dark));

  vec3 metal = mix(vec3(0.47, 0.38, 0.31), vec3(0.30, 0.225, 0.18), dark);
  metal *= 0.75 + 0.5 * smoothstep(0.3, -0.2, abs(x + 0.08));
  if (!isGlass) { colour = vec4(metal, 1.0) * body * (fill < 0.0 ? 0.4 : 1.0) + air * (1.0 - body); return; }

  float g = (y - 0.14) / 0.76;
  if (fill < 0.0) {
    float rim = smoothstep(0.035, 0.0, inside) * body;
    colour = vec4(metal, 1.0) * rim * 0.45;
    return;
  }
  /* The glass' height in the unit of x, so that drops are round. */
  float tall = 0.6156 * max(1.0 / aspect, 2.4);
  float level = fill * 0.94;
  float sway = 0.012 * sin(time * 0.9 + index * 2.1 + x * 9.0) * min(1.0, fill * 6.0);
  float field = exp((level + sway - g) * 20.0);
  float lively = smoothstep(0.02, 0.25, fill);
  for (float i = 0.0; i < 3.0; i++) {
    float seed = index * 7.0 + i * 3.7;
    float pace = 0.05 + 0.05 * hash(seed);
    float travel = abs(fract(time * pace + hash(seed + 1.0)) * 2.0 - 1.0);
    float top = min(0.93, level + 0.30 + 0.25 * hash(seed + 2.0));
    vec2 centre = vec2((hash(seed + 3.0) - 0.5) * 0.16 + 0.02 * sin(time * 0.6 + seed), mix(level * 0.6, top, travel));
    float radius = (0.05 + 0.055 * hash(seed + 4.0)) * lively;
    vec2 d = vec2(x - centre.x, (g - centre.y) * tall * 0.8);
    field += radius * radius / max(dot(d, d), 1e-5);
  }
  float wax = smoothstep(0.82, 1.18, field);

  vec3 hot = mix(vec3(1.0, 0.70, 0.28), vec3(1.0, 0.83, 0.50), dark);
  vec3 warm = mix(vec3(0.93, 0.42, 0.12), vec3(1.0, 0.50, 0.16), dark);
  vec3 cool = mix(vec3(0.70, 0.20, 0.10), vec3(0.74, 0.22, 0.11), dark);
  vec3 waxColour = mix(hot, warm, smoothstep(0.0, 0.5, g));
  waxColour = mix(waxColour, cool, smoothstep(0.45, 1.0, g));
  waxColour *= 0.86 + 0.24 * smoothstep(0.25, 0.0, abs(x + 0.05));

  float heat = exp(-g * 2.6);
  vec3 liquid = mix(mix(vec3(1.0, 0.90, 0.76), vec3(1.0, 0.80, 0.56), heat), mix(vec3(0.125, 0.07, 0.055), vec3(0.42, 0.17, 0.07), heat), dark);
  vec3 lamp = mix(liquid, waxColour, wax);
  lamp += dark * 0.10 * hot * exp(-abs(g - level) * 9.0) * (1.0 - wax);
  lamp *= 1.0 - 0.28 * smoothstep(0.06, 0.0, inside);
  lamp += 0.10 * smoothstep(0.03, 0.0, abs(x + halfWidth(y) * 0.55)) * (1.0 - wax * 0.6);
  colour = vec4(lamp, 1.0) * body + air * (1.0 - body);
}`;
