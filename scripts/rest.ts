/**
 * Writes the description of the channel node's HTTP service: `docs/openapi/channel.json`, and for people
 * `docs/channel-rest.md`.
 *
 *     npm run rest                write
 *     npm run rest -- --check     fail when the files disagree with the code
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openApi } from '../src/channel/http/openApi.ts'

interface Schema {
  readonly $ref?: string
  readonly title?: string
  readonly description?: string
  readonly type?: string
  readonly const?: string
  readonly enum?: readonly (string | null)[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly not?: object
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | false
  readonly required?: readonly string[]
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>
interface Operation {
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description?: string }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>
}
interface Document {
  readonly info: { readonly title: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** The files, by their path in `docs/`. */
export function restFiles(): Readonly<Record<string, string>> {
  const text = JSON.stringify(openApi(), null, 2)
  return { 'openapi/channel.json': `${text}\n`, 'channel-rest.md': reference(JSON.parse(text) as Document) }
}

const heading = (method: string, path: string): string => `${method.toUpperCase()} ${path}`
/** The anchor that GitHub gives a heading. */
const anchor = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9 _-]/g, '').replaceAll(' ', '-')
/** The statuses of problems that an operation may answer with. */
const problems = ({ responses }: Operation): string[] => Object.keys(responses).filter((code) => Number(code) >= 400)
/** Those that say nothing about the request. */
const everywhere = ['401', '403', '500', '503', '504']
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')

function reference({ info, paths, components: { schemas } }: Document): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: heading(method, path), operation })))
  const statuses = new Map(operations.flatMap(({ operation }) =>
    problems(operation).map((code) => [code, operation.responses[code]!.description] as const)))
  const common = [...statuses.keys()].filter((code) => everywhere.includes(code)).sort()
  const named = Object.entries(schemas).filter(([name]) => !name.startsWith('Event.'))
  const events = Object.entries(schemas).filter(([name]) => name.startsWith('Event.'))
  return [
    `# ${info.title}: HTTP reference`,
    '<!-- Written by `npm run rest` from src/channel/http/. -->',
    `${info.description} The same as OpenAPI 3.1: [openapi/channel.json](openapi/channel.json). How to start the service, and who may use it: [src/channel/http/README.md](../src/channel/http/README.md).`,
    table(['request', 'what it does'], operations.map(({ name, operation }) => [`[${name}](#${anchor(name)})`, operation.summary])),
    '## Requests',
    ...operations.flatMap(({ name, operation }) => section(name, operation)),
    '## Statuses of problems',
    `All paths but /health can answer with ${common.join(', ')}; above, only the others are named.`,
    table(['status', 'why'], [...statuses].sort().map(([code, why]) => [code, why])),
    '## Objects',
    ...named.flatMap(([name, schema]) => {
      const choice = schema.oneOf ?? schema.anyOf
      return [`### ${name}`, ...(choice ? ['One of:', ...choice.map(fields)] : [fields(schema)])]
    }),
    '## Events',
    table(['event', 'what it carries'], events.map(([name, { properties = {} }]) =>
      [`\`${name.slice('Event.'.length)}\``, Object.entries(properties).map(([field, schema]) => `\`${field}\`: ${kind(schema)}`).join(', ')])),
  ].join('\n\n') + '\n'
}

function section(name: string, operation: Operation): string[] {
  const { summary, description, parameters = [], requestBody, responses } = operation
  const given = parameters.filter((parameter) => parameter.in !== 'path')
  const [good] = Object.entries(responses).filter(([code]) => Number(code) < 400)
  const answer = good && Object.values(good[1].content)[0]?.schema
  const shape = answer?.properties ? answer : answer?.items?.properties ? answer.items : undefined
  const refused = problems(operation).filter((code) => !everywhere.includes(code))
  return [
    `### ${name}`,
    `${summary}.${description ? ` ${description}` : ''}`,
    ...(given.length > 0 ? [table(['parameter', 'in', 'what it is'], given.map((parameter) =>
      [`\`${parameter.name}\``, parameter.in, parameter.description ?? '']))] : []),
    ...(requestBody ? ['Body:', fields(requestBody.content['application/json']!.schema)] : []),
    ...(refused.length > 0 ? [`Problems: ${refused.join(', ')}.`] : []),
    ...(good && answer ? [`Answer ${good[0]}: ${shape ? answer.items ? 'a list of objects' : 'an object' : kind(answer)}.`] : []),
    ...(shape ? [fields(shape)] : []),
  ]
}

function fields({ properties = {}, required = [] }: Schema): string {
  return table(['field', 'type', 'what it is'], Object.entries(properties).map(([name, schema]) =>
    [`\`${name}\`${required.includes(name) || schema.not ? '' : ' (optional)'}`, kind(schema), schema.description ?? '']))
}

/** What a value is, in a few words. */
function kind(schema: Schema): string {
  const { $ref, title, type, enum: values, anyOf, oneOf, items, additionalProperties } = schema
  if ($ref) {
    const name = $ref.split('/').at(-1)!
    return `[${name}](#${anchor(name)})`
  }
  if (title) return title.toLowerCase().replace('eip', 'EIP').replace('rfc', 'RFC')
  if (schema.const !== undefined) return `\`"${schema.const}"\``
  if (values) return values.map((value) => `\`${JSON.stringify(value)}\``).join(' or ')
  if (schema.not) return 'nothing'
  const choice = anyOf ?? oneOf
  if (choice) return choice.map(kind).join(' or ')
  if (items) return `list of ${kind(items)}`
  if (additionalProperties) return `object by name, of ${kind(additionalProperties)}`
  if (schema.properties) return `{ ${Object.keys(schema.properties).map((name) => `\`${name}\``).join(', ')} }`
  return type ?? 'anything'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, next] of Object.entries(restFiles())) {
    const url = new URL(`../docs/${name}`, import.meta.url)
    let now = ''
    try {
      now = readFileSync(url, 'utf8')
    } catch {
      // written below
    }
    if (next === now) continue
    if (process.argv.includes('--check')) {
      console.error(`docs/${name} disagrees with the code: run \`npm run rest\``)
      process.exitCode = 1
      continue
    }
    mkdirSync(new URL('.', url), { recursive: true })
    writeFileSync(url, next)
  }
}
