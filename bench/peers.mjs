/** Programs of others that a bench needs are installed where that is possible. */
import { canInstallPackages, installPackages, missingPackages } from '../scripts/debian-packages.mjs';

/** @param packages names, or an object by name @throws Error when some cannot be had */
export function installPeers(packages, say) {
  const list = Array.isArray(packages) ? Object.fromEntries(packages.map((name) => [name, ''])) : packages;
  const missing = missingPackages(list);
  if (missing.length === 0) return;
  if (!canInstallPackages()) throw new Error(`these Debian packages are needed: ${missing.join(' ')}`);
  say(`installing ${missing.join(' ')}`);
  const failed = installPackages(missing);
  if (failed.length > 0) throw new Error(`these could not be installed: ${failed.join(' ')}`);
}
