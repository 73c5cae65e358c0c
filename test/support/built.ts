/** What a lab makes in several steps is not left lying about when one of them fails. */
interface Closable {
  close(): Promise<void>;
}

/** @returns `made` once it is built; when that fails, `made` is closed first. @throws what `build` throws */
export async function built<Made extends Closable>(made: Made, build: () => Promise<unknown>): Promise<Made> {
  try {
    await build();
  } catch (error) {
    await made.close();
    throw error;
  }
  return made;
}
