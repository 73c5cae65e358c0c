/** As much of a daemon as a keeper needs. Arguments: the keeper's program, --stall-ms value, the actions as JSON. */
import type { CleanupAction } from '../../../src/device/cleanup.ts';
import { startKeeper } from '../../../src/keeper/handle.ts';

const [entry = '', stallMs = '', actions = '[]'] = process.argv.slice(2);
const keeper = await startKeeper({ entry, stallMs: Number(stallMs) });
keeper.onExit((reason) => process.stdout.write(`keeper ended: ${reason}\n`));
keeper.onCleaned(({ failed }) => process.stdout.write(`cleaned, ${failed} failed\n`));
keeper.set(JSON.parse(actions) as CleanupAction[]);
setInterval(() => keeper.beat(), Number(stallMs) / 8);
process.on('SIGTERM', () => {
  void keeper.bye().then(() => {
    process.stdout.write('bye\n');
    process.exit(0);
  });
});
process.stdout.write(`keeper ${keeper.pid}\n`);
