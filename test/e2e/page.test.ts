import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { machines } from '../../machines/index.ts';
import { controlFeed } from '../../src/visualizer/control-feed.ts';
import { layoutChart } from '../../src/visualizer/layout.ts';
import { projectMachine } from '../../src/visualizer/project.ts';
import type { Visualizer } from '../../src/visualizer/server.ts';
import { startVisualizer } from '../../src/visualizer/server.ts';
import { needs } from '../support/needs.ts';
import type { FakeNode } from './page-nodes.ts';
import { chart, fakeNode, group, leadingStatus, nodeStatus } from './page-nodes.ts';

const BROWSER_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The page is bundled by the build's own script, which has no types. */
async function buildInto(directory: string): Promise<void> {
  const script = new URL('../../scripts/build-page.mjs', import.meta.url).href;
  const { bundlePage } = (await import(script)) as { bundlePage: (directory: string) => Promise<void> };
  await bundlePage(directory);
  const layouts = await Promise.all(
    Object.entries(machines).map(async ([name, machine]) => [
      name,
      await layoutChart(projectMachine(name, machine)),
    ]),
  );
  await writeFile(join(directory, 'layouts.json'), JSON.stringify(Object.fromEntries(layouts)));
}

describe.skipIf(needs('chromium'))('the page, in a real browser', () => {
  let directory: string;
  let browser: BrowserContext;
  let hasta: FakeNode;
  let hastb: FakeNode;
  let server: Visualizer;
  let page: Page;
  let problems: string[];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-page-'));
    await buildInto(directory);
    browser = await chromium.launchPersistentContext(join(directory, 'profile'), {
      executablePath: '/usr/bin/chromium',
      args: BROWSER_FLAGS,
      viewport: { width: 1280, height: 800 },
    });
  });

  afterAll(async () => {
    await browser.close();
    await rm(directory, { recursive: true, force: true });
  });

  beforeEach(async () => {
    hasta = await fakeNode(join(directory, 'hasta.sock'), leadingStatus('hasta', 'hastb'));
    hastb = await fakeNode(join(directory, 'hastb.sock'), nodeStatus('hastb', 'hasta'));
    hasta.log({ kind: 'group.state', message: 'storage is primary', group: 'storage' });
    hastb.log({ kind: 'group.state', message: 'storage stands by', group: 'storage' });
    server = await startVisualizer({
      listen: { host: '127.0.0.1', port: 0 },
      feeds: [controlFeed('hasta', hasta.path), controlFeed('hastb', hastb.path)],
      log: () => undefined,
      assets: directory,
    });
    page = await browser.newPage();
    problems = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(server.url);
    await page.waitForSelector('.pane[data-node=hastb] .leaf');
  });

  afterEach(async () => {
    await page.close();
    await server.close();
    await hasta.close();
    await hastb.close();
  });

  const leaves = (node: string): Promise<(string | null)[]> =>
    page
      .locator(`.pane[data-node=${node}] .frame .state.leaf`)
      .evaluateAll((states) => states.map((state) => state.getAttribute('data-state')));

  it('shows the present state of both nodes, nested, without any complaint of the browser', async () => {
    expect(await leaves('hasta')).toEqual(['primary.serving']);
    expect(await leaves('hastb')).toEqual(['standby.waiting']);
    const outer = page.locator('.pane[data-node=hasta] .frame .state.present').first();
    expect(await outer.getAttribute('data-state')).toBe('primary');
    expect(problems).toEqual([]);
  });

  it('moves the highlight with the chart and marks the line that was taken', async () => {
    hastb.status = nodeStatus('hastb', 'hasta', {
      groups: [group({ role: 'changing', state: 'promoting.recording', badge: 'promoting.recording' })],
      charts: [chart('group.storage', { promoting: 'recording' }, 'EVALUATE')],
    });
    hastb.log({ kind: 'group.state', message: 'storage is promoting' });
    await page.waitForSelector('.pane[data-node=hastb] .leaf[data-state="promoting.recording"]');
    const taken = page.locator('.pane[data-node=hastb] .edge.taken');
    expect(await taken.getAttribute('data-edge')).toBe('standby.waiting>promoting');
    expect(await page.locator('.chip[data-node=hastb] .badge').textContent()).toBe('changing');
  });

  it('shows how far a resync is, by a bar and in words', async () => {
    const row = page.locator('.column[data-node=hasta] tr[data-resource=disk2]');
    expect(await row.locator('progress').getAttribute('value')).toBe('63');
    expect(await row.textContent()).toContain('→ 63 % · 1.17 GiB of 1.86 GiB · 5 s left');
    expect(await row.locator('.sync').getAttribute('title')).toContain('700 MiB dirty');
    expect(await page.locator('.column[data-node=hastb] progress').count()).toBe(0);
  });

  it('says since when a killed node is unreachable, keeps its last state greyed, and takes it back', async () => {
    await hasta.close();
    await page.waitForSelector('.chip.gone[data-node=hasta]');
    expect(await page.locator('.chip[data-node=hasta]').textContent()).toContain('unreachable since');
    expect(await page.locator('.pane.stale[data-node=hasta]').count()).toBe(1);
    expect(await page.locator('.column.stale[data-node=hasta]').count()).toBe(1);
    expect(await leaves('hasta')).toEqual(['primary.serving']);
    hasta = await fakeNode(hasta.path, { ...nodeStatus('hasta', 'hastb'), boot: 'hasta-boot-2' });
    await page.waitForSelector('.chip:not(.gone)[data-node=hasta]');
    expect(await leaves('hasta')).toEqual(['standby.waiting']);
  });

  it('shows another chart of both nodes when its button is pressed', async () => {
    await page.getByRole('button', { name: 'resource.disk1' }).press('Enter');
    await page.waitForSelector('.pane[data-node=hasta] .leaf[data-state="primary.io.serving"]');
    expect(await leaves('hasta')).toEqual(['primary.peer.complete', 'primary.io.serving']);
    expect(await leaves('hastb')).toEqual(['secondary.connected']);
  });

  it('lists the events of both nodes as they come and filters them', async () => {
    await expect.poll(() => page.locator('.events li').count()).toBe(2);
    hastb.log({ kind: 'link.state', level: 'warn', message: 'hasta has been silent for 512 ms' });
    await page.waitForSelector('.events li.level-warn');
    expect(await page.locator('.last').textContent()).toContain('silent for 512 ms');
    await page.getByRole('searchbox').fill('hastb silent');
    await expect.poll(() => page.locator('.events li').count()).toBe(1);
  });

  it('needs no scrolling of the page itself at 1280 by 800', async () => {
    const overflow = await page.evaluate(() => [
      document.documentElement.scrollWidth - innerWidth,
      document.documentElement.scrollHeight - innerHeight,
    ]);
    expect(overflow).toEqual([0, 0]);
  });
});
