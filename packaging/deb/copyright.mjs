// /usr/share/doc/lamplighter/copyright: whose work is in the package, and on what terms.

const RULE = '-'.repeat(78);

/**
 * @param modules - as copyModules returns them
 * @param page - the licences of what the page is compiled with
 * @returns the file's text
 * @throws Error if a package comes without the text of its licence
 */
export function copyright(modules, page) {
  const ours = [
    'Lamplighter is under the Apache License, Version 2.0, the text of which is',
    'in /usr/share/common-licenses/Apache-2.0.',
    '',
    'The package also has in it: Node.js, /usr/lib/lamplighter/runtime, without its',
    'debugging symbols, whose licences are in nodejs-LICENSE.gz beside this file;',
    'packages from npm, below /usr/lib/lamplighter/node_modules; and others compiled',
    'into the page. What follows are the notices of these.',
  ].join('\n');
  const all = [ours, ...modules.map(noticeOf), page.trim()].join(`\n\n${RULE}\n\n`);
  return `${all.replaceAll('\r', '')}\n`;
}

function noticeOf({ name, version, license, notices }) {
  if (notices.length === 0) throw new Error(`${name} has no text of its licence, ${license}`);
  // Every Debian system has Apache's text.
  const texts = license === 'Apache-2.0' ? ['/usr/share/common-licenses/Apache-2.0'] : notices;
  return [`${name} ${version} (${license})`, ...texts.map((text) => text.trim())].join('\n\n');
}
