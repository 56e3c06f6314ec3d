/**
 * Finds guards in source code: what refuses, and how to take it out.
 * @module
 */
import ts from 'typescript'

/** Whether a statement does nothing but throw, in the end. */
function throws(statement) {
  if (ts.isThrowStatement(statement)) return true
  return ts.isBlock(statement) && statement.statements.length > 0 && throws(statement.statements.at(-1))
}

const oneLine = text => text.replace(/\s+/g, ' ').slice(0, 100)

/**
 * Guards of a TypeScript file: `if`s that throw, and `assertArgument`s.
 * @param {string} source
 * @returns {{ line: number, text: string, start: number, end: number, kind: 'if' | 'assert' }[]} where their conditions stand
 */
export function guardsOfTypeScript(source) {
  const file = ts.createSourceFile('source.ts', source, ts.ScriptTarget.Latest, true)
  const guards = []
  const add = (condition, kind, text) => guards.push({
    line: file.getLineAndCharacterOfPosition(condition.getStart()).line + 1,
    text: oneLine(text), start: condition.getStart(), end: condition.getEnd(), kind,
  })
  const visit = node => {
    if (ts.isIfStatement(node) && throws(node.thenStatement)) add(node.expression, 'if', `if (${node.expression.getText()})`)
    if (ts.isCallExpression(node) && node.expression.getText() === 'assertArgument' && node.arguments.length > 0) {
      add(node.arguments[0], 'assert', node.getText())
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return guards
}

/** The source with each guard's condition handed to a function that may overrule it. */
export function instrument(source, guards) {
  let out = source
  for (const { id, start, end, kind } of [...guards].sort((a, b) => b.start - a.start)) {
    const call = kind === 'if' ? '__guardRefuses' : '__guardHolds'
    // The call around it keeps an `await` where it was.
    out = `${out.slice(0, start)}globalThis.${call}(${id}, ${out.slice(start, end)})${out.slice(end)}`
  }
  return out
}

/**
 * Guards of a Solidity file: `if (…) revert …`, on one line or as a block.
 * @param {string} source
 * @returns {{ line: number, text: string, without(source: string): string }[]}
 */
export function guardsOfSolidity(source) {
  const guards = []
  for (const { index } of source.matchAll(/\bif \(/g)) {
    let depth = 0
    let end = index + 3
    do {
      if (source[end] === '(') depth++
      if (source[end] === ')') depth--
      end++
    } while (depth > 0)
    if (!/^\s*(\{\s*)?revert\b/.test(source.slice(end, end + 60))) continue
    const condition = source.slice(index, end)
    guards.push({
      line: source.slice(0, index).split('\n').length,
      text: oneLine(condition),
      // Evaluated all the same: what it calls may do something.
      without: text => `${text.slice(0, index)}if ((${condition.slice(4, -1)}) && false)${text.slice(end)}`,
    })
  }
  return guards
}
