// One definition for the whole of Lamplighter; it stands with the package most of whose answers may be missing.
export { type Ability, able, unable } from '@lamplighter/native';
