/**
 * Answers whose text is known in whole: an adapter can write it at once, which is faster than reading the answer's stream.
 * @module
 */
const texts = new WeakMap<Response, string>()

/** Makes an answer of a text. */
export function wholeAnswer(text: string, init: ResponseInit): Response {
  const answer = new Response(text, init)
  texts.set(answer, text)
  return answer
}

/** The text of an answer that {@link wholeAnswer} made. */
export function wholeText(answer: Response): string | undefined {
  return texts.get(answer)
}
