import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

/** Makes a program of TypeScript runnable by node alone. @returns its path; `dispose` removes it */
export async function buildProgram(entry: string): Promise<{ path: string; dispose: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), 'hastate-program-'));
  const path = join(directory, 'program.mjs');
  await build({
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
  return { path, dispose: () => rmSync(directory, { recursive: true, force: true }) };
}

export class Program {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly lines: string[] = [];
  #wake: () => void = () => undefined;

  constructor(argv: readonly string[]) {
    const [file = '', ...args] = argv;
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        resolve({ code, signal });
        this.#wake();
      });
    });
    if (this.child.stdout !== null) {
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        this.lines.push(line);
        this.#wake();
      });
    }
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** A line of its standard output that matches. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended without saying ${pattern.source}: ${this.lines.join(' | ')}`);
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Starts a program that ends with the test at the latest. */
export function start(...argv: string[]): Program {
  const program = new Program(argv);
  onTestFinished(() => program.kill());
  return program;
}
