/**
 * A process that writes one row into a folder and then holds the folder open.
 * @module
 */
import process from 'node:process'
import { sql as statement } from 'kysely'
import { openPglite } from './openPglite.ts'

const sql = await openPglite({ folder: process.argv[2]! })
await statement`create table a (id int8)`.execute(sql.db)
await sql.transaction((tx) => statement`insert into a values (7)`.execute(tx))
process.stdout.write('wrote\n')
setInterval(() => {}, 1000)
