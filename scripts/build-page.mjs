/**
 * Builds what the page's server serves: the page in one script, and a drawing of every
 * statechart. Runs after the compiler: the drawings are made from the machines that run.
 */
import { build } from 'esbuild';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './sources.mjs';

const PAGE = join(ROOT, 'src/visualizer/page');
const OUT = join(ROOT, 'dist/src/visualizer');

/** Throws when the page or a drawing cannot be made. */
export async function buildPage() {
  await bundlePage(OUT);
  await drawCharts(OUT);
}

/** Writes index.html, page.css and page.js into `directory`. */
export async function bundlePage(directory) {
  await mkdir(directory, { recursive: true });
  await build({
    entryPoints: [join(PAGE, 'main.tsx')],
    outfile: join(directory, 'page.js'),
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    // The checkout's own options are for the compiler.
    tsconfigRaw: {},
    logLevel: 'warning',
  });
  await copyFile(join(PAGE, 'index.html'), join(directory, 'index.html'));
  await copyFile(join(PAGE, 'page.css'), join(directory, 'page.css'));
}

async function drawCharts(directory) {
  const load = (path) => import(pathToFileURL(join(ROOT, 'build', path)).href);
  const { machines } = await load('machines/index.js');
  const { projectMachine } = await load('src/visualizer/project.js');
  const { layoutChart } = await load('src/visualizer/layout.js');
  const layouts = {};
  for (const [name, machine] of Object.entries(machines)) {
    layouts[name] = await layoutChart(projectMachine(name, machine));
  }
  await writeFile(join(directory, 'layouts.json'), JSON.stringify(layouts));
}
