import { describe, expect, it } from 'vitest';
import { splitSecrets } from '../../../src/model/secrets.ts';

const OLD = 'the secret from before';
const NEW = 'the secret from now on';

const split = (content: string | Buffer): string[] =>
  splitSecrets(Buffer.from(content)).map((secret) => secret.toString('latin1'));

describe('a secret file', () => {
  it.each([
    ['one line', `${OLD}\n`, [OLD]],
    ['one line without an end', OLD, [OLD]],
    ['the offered one first, then who else is accepted', `${NEW}\n${OLD}\n`, [NEW, OLD]],
    ['lines of another system with gaps', `\r\n${NEW}\r\n\r\n  ${OLD}\r\n`, [NEW, OLD]],
  ])('of %s', (_what, content, secrets) => {
    expect(split(content)).toEqual(secrets);
  });

  it('that is not text is one secret, whatever bytes are in it', () => {
    const bytes = Buffer.from('00ff0a'.repeat(8), 'hex');
    expect(split(bytes)).toEqual([bytes.toString('latin1')]);
  });

  it.each([
    ['a secret of 15 bytes', 'fifteen bytes 1', /^the secret file has 15 bytes, at least 16 are needed/],
    ['a second one that is too short', `${NEW}\nshort\n`, /^secret 2 of the secret file has 5 bytes/],
    ['nothing but line ends', '\n\n', /no secret in it/],
    ['more than eight', Array.from({ length: 9 }, (_, n) => `${OLD} ${n}`).join('\n'), /has 9 secrets/],
  ])('with %s is refused without telling it', (_what, content, message) => {
    expect(() => split(content)).toThrow(message);
    for (const secret of content.split('\n').filter(Boolean))
      expect(() => split(content)).not.toThrow(secret);
  });
});
