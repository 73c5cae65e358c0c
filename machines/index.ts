/** All statecharts by the name under which status and the page know them. */
import type { AnyStateMachine } from 'xstate';

import { advertiserMachine } from './advertiser.ts';
import { groupMachine } from './group.ts';
import { hookRunMachine } from './hook-run.ts';
import { linkMachine } from './link.ts';
import { nodeMachine } from './node.ts';
import { resourceMachine } from './resource.ts';
import { serviceMachine } from './service.ts';

export const machines: Readonly<Record<string, AnyStateMachine>> = {
  group: groupMachine,
  resource: resourceMachine,
  advertiser: advertiserMachine,
  'hook-run': hookRunMachine,
  service: serviceMachine,
  link: linkMachine,
  node: nodeMachine,
};
