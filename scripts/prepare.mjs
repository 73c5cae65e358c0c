/**
 * Run before `npm start` and `npm test`: installs, builds, and says what is missing and
 * what that costs. Does nothing, in a moment, when all is there. Plain Node, no dependency.
 */
import { canInstallPackages, installPackages, missingPackages } from './debian-packages.mjs';
import { install, nativeComplaints, runningDemonstration, whyInstall } from './dependencies.mjs';
import { builtHash, sourceHash } from './sources.mjs';

const say = (line) => console.log(`hastate: ${line}`);

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major >= 22 || (major === 20 && minor >= 19)) return;
  throw new Error(`Node ${process.versions.node} is too old: Node 20.19 or later of 20, or 22, is needed`);
}

function installDependencies() {
  const why = whyInstall();
  if (why === null) return;
  const pids = runningDemonstration();
  if (pids.length > 0) {
    throw new Error(
      `node_modules must be installed again (${why}), and a demonstration is running from it ` +
        `(process ${pids.join(', ')}): end it first, its modules would vanish under it`,
    );
  }
  say(`installing packages (${why})`);
  install();
  for (const complaint of nativeComplaints()) say(`note: ${complaint}`);
}

function installDebianPackages() {
  if (!canInstallPackages()) return;
  const missing = missingPackages();
  if (missing.length === 0) return;
  say(`installing Debian packages for the suites: ${missing.join(' ')}`);
  const failed = installPackages(missing);
  if (failed.length > 0) {
    say(`note: these could not be installed, suites that need them will be skipped: ${failed.join(' ')}`);
  }
}

try {
  checkNode();
  installDependencies();
  if (process.argv.includes('--for-tests')) installDebianPackages();
  if (builtHash() !== sourceHash()) {
    say('building');
    // Imported late: a fresh clone has nothing to build with before the lines above.
    const { build } = await import('./build.mjs');
    await build();
  }
} catch (error) {
  console.error(`hastate: ${error.message}`);
  process.exitCode = 1;
}
