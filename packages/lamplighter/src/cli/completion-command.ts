import { Argument, type Command } from 'commander';
import { answer } from './terminal.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `lamplighter completion bash|zsh|fish` */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print what completes the command line of lamplighter in a shell')
    .addArgument(new Argument('<shell>', 'which one').choices([...SHELLS]))
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  lamplighter completion bash > /usr/share/bash-completion/completions/lamplighter\n' +
        '  lamplighter completion zsh > /usr/share/zsh/vendor-completions/_lamplighter\n' +
        '  lamplighter completion fish > /usr/share/fish/vendor_completions.d/lamplighter.fish\n' +
        '  source <(lamplighter completion bash)',
    )
    .action(async (shell: (typeof SHELLS)[number]) => {
      const [{ commandFacts }, { completions }] = await Promise.all([
        import('./command-facts.js'),
        import('./completion.js'),
      ]);
      const commands = completions(commandFacts(program));
      answer((await SCRIPTS[shell]())(commands));
    });
}

const SCRIPTS = {
  bash: async () => (await import('./completion-bash.js')).bashCompletion,
  zsh: async () => (await import('./completion-zsh.js')).zshCompletion,
  fish: async () => (await import('./completion-fish.js')).fishCompletion,
};
