// Lint rules that guard the architecture as well as the style: the pure cores may not know time, chance or promises.
import tseslint from 'typescript-eslint';

const PURE_CORES = ['agent/core/**/*.ts', 'controller/core/**/*.ts'];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'proto/gen/**', '**/*.js', '.tap/**'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: new URL('..', import.meta.url).pathname },
    },
    rules: {
      'max-lines': ['error', 600],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: 'node:child_process',
              importNames: ['exec', 'execSync'],
              message: 'No shell: use execFile or spawn.',
            },
          ],
        },
      ],
      'no-console': 'error',
    },
  },
  {
    files: PURE_CORES,
    rules: {
      'no-restricted-globals': ['error', 'Date', 'setTimeout', 'setInterval', 'process', 'Promise'],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Pure core: chance comes in as data.' },
        { object: 'Date', property: 'now', message: 'Pure core: time comes in as data.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: ':function[async=true]', message: 'Pure core: no promises.' },
        { selector: "NewExpression[callee.name='Date']", message: 'Pure core: time comes in as data.' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'scripts/**/*.ts'],
    rules: { 'no-console': 'off', '@typescript-eslint/no-non-null-assertion': 'off' },
  },
);
