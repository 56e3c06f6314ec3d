/**
 * Runs pure Solidity functions over symbols instead of numbers: the syntax tree that solc makes of the source becomes
 * formulas of Z3, so what is proven is proven of the very lines that are deployed.
 *
 * Unsigned integers are whole numbers with bounds. Checked arithmetic that leaves them is noted as a panic, unchecked
 * arithmetic wraps. What the subset below does not know is refused.
 * @module
 */
import { readFileSync } from 'node:fs'
import solc from 'solc'
import { init, type Arith, type Bool, type Context } from 'z3-solver'

type Z3 = Context<'main'>
type Whole = Arith<'main'>
type Truth = Bool<'main'>
/** A struct: its fields by name. Passed by reference, as memory is. */
export type Struct = Map<string, Value>
/** What an expression can be. */
export type Value = Whole | Truth | Struct | Value[]

/** A node of solc's syntax tree. */
interface Node {
  readonly id: number
  readonly nodeType: string
  readonly [field: string]: unknown
}

/** What running a function has come to. */
export interface Outcome {
  /** Its return values, in order. */
  readonly values: readonly Value[]
  /** When it reverts by its own decision. */
  readonly reverted: Truth
  /** When its arithmetic leaves the type, or divides by zero. */
  readonly panicked: Truth
}

/** Functions of the contracts, ready to be run over symbols. */
export interface Contracts {
  readonly z3: Z3
  /** Any number from 0 below 2^bits. */
  uint(name: string, bits?: number): Whole
  /** Any truth value. */
  bool(name: string): Truth
  /** Runs a function of a contract; overloads are not told apart. */
  run(contract: string, name: string, args: readonly Value[]): Outcome
  /** Tells that a claim holds for all values of its symbols: undefined, or the values for which it does not. */
  refute(claim: Truth): Promise<string | undefined>
}

const FOLDER = new URL('../../src/contracts/solidity/', import.meta.url)

function parse(files: readonly string[]): Node[] {
  const packages = new URL('../../node_modules/', import.meta.url)
  const read = (path: string): string => readFileSync(new URL(path, path.startsWith('@') ? packages : FOLDER), 'utf8')
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(files.map((file) => [file, { content: read(file) }])),
    settings: { evmVersion: 'cancun', outputSelection: { '*': { '': ['ast'] } } },
  }
  const compiler = solc as { compile(input: string, callbacks: object): string }
  const found = { import: (path: string) => ({ contents: read(path) }) }
  const output = JSON.parse(compiler.compile(JSON.stringify(input), found)) as {
    sources: Record<string, { ast: Node }>
  }
  return Object.values(output.sources).map(({ ast }) => ast)
}

const list = (value: unknown): Node[] => (value ?? []) as Node[]
const node = (value: unknown): Node => value as Node

/** Loads contracts, by the files that hold them. */
export async function loadContracts(files: readonly string[]): Promise<Contracts> {
  const { Context } = await init()
  const z3 = Context('main')
  const declared = new Map<number, Node>()
  const functions = new Map<string, Node>()
  const collect = (tree: unknown, contract = ''): void => {
    if (Array.isArray(tree)) return tree.forEach((child) => collect(child, contract))
    if (typeof tree !== 'object' || tree === null) return
    const child = tree as Node
    if (typeof child.id === 'number' && child.nodeType) declared.set(child.id, child)
    const inside = child.nodeType === 'ContractDefinition' ? (child['name'] as string) : contract
    if (child.nodeType === 'FunctionDefinition') functions.set(`${inside}.${child['name'] as string}`, child)
    for (const value of Object.values(child)) collect(value, inside)
  }
  collect(parse(files))

  const bounds: Truth[] = []
  const uint = (name: string, bits = 256): Whole => {
    const symbol = z3.Int.const(name)
    bounds.push(symbol.ge(0), symbol.lt(2n ** BigInt(bits)))
    return symbol
  }
  let unknowns = 0
  const choose = (when: Truth, yes: Value, no: Value): Value => {
    if (yes instanceof Map || no instanceof Map) {
      if (yes !== no) throw new Error('a struct can not depend on a condition here')
      return yes
    }
    return z3.If(when, yes as Whole, no as Whole)
  }

  /** One call: its variables, and how far it has come. */
  const call = (definition: Node, args: readonly Value[], entered: Truth): Outcome => {
    const variables = new Map<number, Value>()
    let done = z3.Bool.val(false)
    let reverted = z3.Bool.val(false)
    let panicked = z3.Bool.val(false)
    let returned: Value[] | undefined
    const active = (guard: Truth): Truth => z3.And(guard, z3.Not(done), z3.Not(reverted), z3.Not(panicked))
    const panic = (guard: Truth, when: Truth): void => void (panicked = z3.Or(panicked, z3.And(active(guard), when)))

    const bitsOf = (expression: Node): number => {
      const { typeString = '' } = (expression['typeDescriptions'] ?? {}) as { typeString?: string }
      if (typeString.startsWith('int_const')) return 256
      const [, bits] = /^uint(\d+)/.exec(typeString) ?? []
      if (bits === undefined) throw new Error(`arithmetic on ${typeString}`)
      return Number(bits)
    }
    const constant = (expression: Node): bigint | undefined => {
      const { typeString = '' } = (expression['typeDescriptions'] ?? {}) as { typeString?: string }
      const [, text] = /^int_const (\d+)$/.exec(typeString) ?? []
      if (text !== undefined) return BigInt(text)
      const target = declared.get(expression['referencedDeclaration'] as number)
      if (expression.nodeType === 'Identifier' && target?.['constant'] === true) return constant(node(target['value']))
      return undefined
    }

    const arithmetic = (operator: string, expression: Node, a: Whole, b: Whole, guard: Truth, checked: boolean): Value => {
      const bits = bitsOf(expression)
      const size = 2n ** BigInt(bits)
      const fit = (raw: Whole, wrapped: Whole): Whole => {
        if (!checked) return wrapped
        panic(guard, z3.Or(raw.lt(0), raw.ge(size)))
        return raw
      }
      switch (operator) {
        case '+':
          return fit(a.add(b), z3.If<Whole, Whole>(a.add(b).ge(size), a.add(b).sub(size), a.add(b)))
        case '-':
          return fit(a.sub(b), z3.If<Whole, Whole>(a.lt(b), a.sub(b).add(size), a.sub(b)))
        case '*':
          return fit(a.mul(b), a.mul(b).mod(size))
        case '/':
          panic(guard, b.eq(0))
          return a.div(b)
        default:
          throw new Error(`operator ${operator}`)
      }
    }

    const binary = (expression: Node, guard: Truth, checked: boolean): Value => {
      const operator = expression['operator'] as string
      const [left, right] = [node(expression['leftExpression']), node(expression['rightExpression'])]
      if (operator === '&&' || operator === '||') {
        const a = evaluate(left, guard, checked) as Truth
        const b = evaluate(right, z3.And(guard, operator === '&&' ? a : z3.Not(a)), checked) as Truth
        return operator === '&&' ? z3.And(a, b) : z3.Or(a, b)
      }
      if (operator === '>>' || operator === '&') {
        const by = constant(right)
        if (by === undefined) throw new Error(`${operator} by what is no constant`)
        const a = evaluate(left, guard, checked) as Whole
        return operator === '>>' ? a.div(2n ** by) : masked(a, by)
      }
      const a = evaluate(left, guard, checked) as Whole
      const b = evaluate(right, guard, checked) as Whole
      const compared: Record<string, () => Truth> = {
        '<': () => a.lt(b), '<=': () => a.le(b), '>': () => a.gt(b), '>=': () => a.ge(b), '==': () => a.eq(b), '!=': () => a.neq(b),
      }
      return compared[operator]?.() ?? arithmetic(operator, expression, a, b, guard, checked)
    }

    /** `a & mask`, for a mask of bits next to each other. */
    const masked = (a: Whole, mask: bigint): Whole => {
      let low = 0n
      while ((mask >> low) % 2n === 0n) low++
      const width = mask >> low
      if ((width & (width + 1n)) !== 0n) throw new Error(`the mask ${mask} has gaps`)
      return a.div(2n ** low).mod(width + 1n).mul(2n ** low)
    }

    const functionCall = (expression: Node, guard: Truth, checked: boolean): Value => {
      const target = node(expression['expression'])
      const values = list(expression['arguments']).map((argument) => evaluate(argument, guard, checked))
      if (expression['kind'] === 'typeConversion') {
        const bits = bitsOf(expression)
        return (values[0] as Whole).mod(2n ** BigInt(bits))
      }
      const definition = declared.get(target['referencedDeclaration'] as number)
      if (definition?.nodeType === 'StructDefinition' || expression['kind'] === 'structConstructorCall') {
        return new Map(list(definition?.['members']).map((member, i) => [member['name'] as string, values[i]!]))
      }
      if (definition?.nodeType !== 'FunctionDefinition') throw new Error('a call of what is no function')
      const outcome = call(definition, values, active(guard))
      reverted = z3.Or(reverted, outcome.reverted)
      panicked = z3.Or(panicked, outcome.panicked)
      return outcome.values.length === 1 ? outcome.values[0]! : [...outcome.values]
    }

    const evaluate = (expression: Node, guard: Truth, checked: boolean): Value => {
      const known = constant(expression)
      if (known !== undefined) return z3.Int.val(known)
      switch (expression.nodeType) {
        case 'Identifier':
          return variables.get(expression['referencedDeclaration'] as number)!
        case 'Literal':
          return z3.Bool.val(expression['value'] === 'true')
        case 'MemberAccess': {
          // `type(uintN).max`
          if (expression['memberName'] === 'max') return z3.Int.val(2n ** BigInt(bitsOf(expression)) - 1n)
          return (evaluate(node(expression['expression']), guard, checked) as Struct).get(expression['memberName'] as string)!
        }
        case 'IndexAccess':
          // Storage may hold anything.
          return uint(`storage${++unknowns}`, bitsOf(expression))
        case 'TupleExpression': {
          const members = list(expression['components']).map((member) => evaluate(member, guard, checked))
          return members.length === 1 ? members[0]! : members
        }
        case 'Conditional': {
          const when = evaluate(node(expression['condition']), guard, checked) as Truth
          const yes = evaluate(node(expression['trueExpression']), z3.And(guard, when), checked)
          const no = evaluate(node(expression['falseExpression']), z3.And(guard, z3.Not(when)), checked)
          return Array.isArray(yes) ? yes.map((value, i) => choose(when, value, (no as Value[])[i]!)) : choose(when, yes, no)
        }
        case 'UnaryOperation':
          if (expression['operator'] !== '!') throw new Error(`operator ${expression['operator'] as string}`)
          return z3.Not(evaluate(node(expression['subExpression']), guard, checked) as Truth)
        case 'BinaryOperation':
          return binary(expression, guard, checked)
        case 'FunctionCall':
          return functionCall(expression, guard, checked)
        default:
          throw new Error(`expression ${expression.nodeType}`)
      }
    }

    const assign = (target: Node | null, value: Value, guard: Truth): void => {
      if (target === null) return
      const when = active(guard)
      switch (target.nodeType) {
        case 'TupleExpression':
          return list(target['components']).forEach((member, i) => assign(member, (value as Value[])[i]!, guard))
        case 'Identifier':
        case 'VariableDeclaration': {
          const id = target.nodeType === 'Identifier' ? (target['referencedDeclaration'] as number) : target.id
          const before = variables.get(id)
          return void variables.set(id, before === undefined ? value : choose(when, value, before))
        }
        case 'MemberAccess': {
          const struct = evaluate(node(target['expression']), guard, true) as Struct
          const field = target['memberName'] as string
          return void struct.set(field, choose(when, value, struct.get(field)!))
        }
        case 'IndexAccess':
          return // nothing that is run here reads it again
        default:
          throw new Error(`assignment to ${target.nodeType}`)
      }
    }

    const execute = (statement: Node, guard: Truth, checked: boolean): void => {
      switch (statement.nodeType) {
        case 'Block':
        case 'UncheckedBlock':
          return list(statement['statements']).forEach((inner) => execute(inner, guard, checked && statement.nodeType === 'Block'))
        case 'VariableDeclarationStatement': {
          const targets = list(statement['declarations'])
          const initial = statement['initialValue']
          if (!initial) return targets.forEach((target) => variables.set(target.id, z3.Int.val(0)))
          const value = evaluate(node(initial), guard, checked)
          return targets.forEach((target, i) => assign(target, targets.length === 1 ? value : (value as Value[])[i]!, guard))
        }
        case 'ExpressionStatement': {
          const expression = node(statement['expression'])
          if (expression.nodeType !== 'Assignment') return void evaluate(expression, guard, checked)
          const target = node(expression['leftHandSide'])
          if (target.nodeType === 'IndexAccess') return
          const given = evaluate(node(expression['rightHandSide']), guard, checked)
          const operator = (expression['operator'] as string).slice(0, -1)
          const value = operator === ''
            ? given
            : arithmetic(operator, expression, evaluate(target, guard, checked) as Whole, given as Whole, guard, checked)
          return assign(target, value, guard)
        }
        case 'IfStatement': {
          const when = evaluate(node(statement['condition']), guard, checked) as Truth
          execute(node(statement['trueBody']), z3.And(guard, when), checked)
          if (statement['falseBody']) execute(node(statement['falseBody']), z3.And(guard, z3.Not(when)), checked)
          return
        }
        case 'RevertStatement':
          return void (reverted = z3.Or(reverted, active(guard)))
        case 'Return': {
          const value = statement['expression'] ? evaluate(node(statement['expression']), guard, checked) : []
          const values = Array.isArray(value) ? value : [value]
          const when = active(guard)
          returned = returned === undefined ? values : values.map((one, i) => choose(when, one, returned![i]!))
          return void (done = z3.Or(done, when))
        }
        default:
          throw new Error(`statement ${statement.nodeType}`)
      }
    }

    const parameters = list(node(definition['parameters'])['parameters'])
    parameters.forEach((parameter, i) => variables.set(parameter.id, args[i]!))
    const results = list(node(definition['returnParameters'])['parameters'])
    for (const result of results) {
      const { typeString } = result['typeDescriptions'] as { typeString: string }
      variables.set(result.id, typeString === 'bool' ? z3.Bool.val(false) : z3.Int.val(0))
    }
    execute(node(definition['body']), entered, true)
    return { values: returned ?? results.map(({ id }) => variables.get(id)!), reverted, panicked }
  }

  return {
    z3,
    uint,
    bool: (name) => z3.Bool.const(name),
    run(contract, name, args) {
      const definition = functions.get(`${contract}.${name}`)
      if (!definition) throw new Error(`there is no function ${contract}.${name}`)
      return call(definition, args, z3.Bool.val(true))
    },
    async refute(claim) {
      const solver = new z3.Solver()
      solver.set('timeout', 60_000)
      solver.add(...bounds, z3.Not(claim))
      const answer = await solver.check()
      if (answer === 'unsat') return undefined
      return answer === 'sat' ? solver.model().sexpr() : 'not decided in time'
    },
  }
}
