/** What of the configuration decides how an engine's data link is secured. */
import { expect, it } from 'vitest';
import { linkSecrets } from '../../../../src/daemon/bind/engine-setup.ts';
import type { Runtime } from '../../../../src/daemon/runtime.ts';
import type { NodeCertificates } from '../../../../src/model/certificates.ts';
import type { GroupSettings, ResourceSettings } from '../../../../src/model/settings.ts';
import { nameOfWay } from '../../../../src/protocol/link-keys.ts';
import { simSettings } from '../../../../src/simulate/settings.ts';

const CERTIFICATES: NodeCertificates = { certificate: 'C', key: 'K', authority: 'A' };
const SECRET = Buffer.from('a secret of some length');

function secrets(
  peerKind: GroupSettings['peerKind'],
  made: Partial<Runtime>,
): ReturnType<typeof linkSecrets> {
  const settings = simSettings('alpha', {});
  const [group] = settings.groups;
  const [name = ''] = group?.resources ?? [];
  const groups = settings.groups.map((each) => ({ ...each, peerKind }));
  const runtime = {
    node: 'alpha',
    secret: null,
    certificates: null,
    settings: { ...settings, groups },
    ...made,
  };
  return linkSecrets(runtime as unknown as Runtime, { name, peer: 'beta' } as ResourceSettings);
}

it('certificates name the resource and both nodes in their parts, and are the proof themselves', () => {
  const { linkKey, linkTls } = secrets('hastate', { certificates: CERTIFICATES });
  const [resource = ''] = simSettings('alpha', {}).groups.flatMap(({ resources }) => resources);
  expect([linkKey, linkTls]).toEqual([
    null,
    {
      certificates: CERTIFICATES,
      peer: 'beta',
      offered: nameOfWay({ resource, from: 'alpha', to: 'beta' }),
      accepted: nameOfWay({ resource, from: 'beta', to: 'alpha' }),
    },
  ]);
});

it('a plain hastd is met in plain, and cannot prove anything, with certificates as with a secret', () => {
  for (const made of [{ certificates: CERTIFICATES }, { secret: SECRET }]) {
    const { linkKey, linkTls } = secrets('hastd', made);
    expect([linkKey?.length, linkTls]).toEqual([32, null]);
  }
  const keys = [1, 2].map(() => secrets('hastd', { certificates: CERTIFICATES }).linkKey);
  expect(keys[0]).not.toEqual(keys[1]);
});

it('without either of the two the link is plain', () => {
  expect(secrets('hastate', {})).toEqual({ linkKey: null, otherLinkKeys: [], linkTls: null });
});
