import { NetError } from '../../model/errors.ts';

/** The peer said no to how this node encrypts or proves itself, or we to it: it has to be told to an operator. */
export class LinkRefused extends NetError {
  constructor(message: string, cause?: unknown) {
    super('peer-refused', message, { cause });
  }
}
