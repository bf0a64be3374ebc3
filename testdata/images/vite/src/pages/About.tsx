import orion from '../orion.svg';

export default function About() {
  return (
    <p>
      <img src={orion} alt="Orion" /> Founded in 1675.
    </p>
  );
}
