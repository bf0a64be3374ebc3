// The archive from the command line: admin.js check | sql STATEMENT | hash PASSWORD
import fs from 'node:fs';
import { ask, load } from './archive';
import { at } from './paths';

const commands: Record<string, (...args: string[]) => unknown> = {
  check: () => {
    const lost = load().filter((photo) => !fs.existsSync(at('photos', photo.file)));
    if (lost.length) throw new Error(`no files of ${lost.map((photo) => photo.id)}`);
    return `${load().length} photographs, none lost`;
  },
  sql: async (statement) => JSON.stringify(await ask(statement)),
  hash: async (password) => (await import('bcrypt')).default.hash(password, 10),
};

async function main([name, ...args]: string[]) {
  const command = commands[name];
  if (!command) {
    console.error(`usage: admin ${Object.keys(commands).join(' | ')}`);
    process.exit(2);
  }
  console.log(await command(...args));
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err.message);
  process.exit(1);
});
