/** What an advertiser tells itself for later: links that must last, rests after elections, counts that fade. */
import { advertiserSetup } from './advertiser-setup.ts';

export const advertiserCharts = advertiserSetup.extend({
  actions: {
    forgetElectionLater: advertiserSetup.raise({ type: 'FLAP.FORGET' }, { delay: 'flapWindow' }),
    restAWhile: advertiserSetup.raise({ type: 'RESTED' }, { id: 'rested', delay: 'minBackup' }),
    settleLater: advertiserSetup.raise({ type: 'SETTLED' }, { id: 'settled', delay: 'minMaster' }),
    linkIsUp: advertiserSetup.raise({ type: 'LINK.BACK' }),
    linkIsDown: advertiserSetup.raise({ type: 'LINK.LOST' }),
    linkIsUpIfItLasts: advertiserSetup.raise({ type: 'LINK.BACK' }, { id: 'linkBack', delay: 'linkUpDelay' }),
    linkIsDownIfItLasts: advertiserSetup.raise(
      { type: 'LINK.LOST' },
      { id: 'linkLost', delay: 'linkDownDelay' },
    ),
    doubtLinkUp: advertiserSetup.cancel('linkBack'),
    doubtLinkDown: advertiserSetup.cancel('linkLost'),
    doubtRest: advertiserSetup.cancel('rested'),
    doubtSettling: advertiserSetup.cancel('settled'),
  },
});

/** Actions of an election lost. */
export const lost = ['noteElection', 'forgetElectionLater', 'noteTired', 'doubtRest', 'restAWhile'] as const;
/** Actions of an election won. */
export const won = [
  'noteElection',
  'forgetElectionLater',
  'noteUnsettled',
  'doubtSettling',
  'settleLater',
] as const;

export const nowUp = ['doubtLinkDown', 'linkIsUp'] as const;
export const nowLost = ['doubtLinkUp', 'linkIsDown'] as const;
export const laterUp = ['doubtLinkDown', 'doubtLinkUp', 'linkIsUpIfItLasts'] as const;
export const laterLost = ['doubtLinkUp', 'doubtLinkDown', 'linkIsDownIfItLasts'] as const;
